//! Who may import whom: the one map of the floors. It is checked here, and printed into `docs/architecture.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use super::{code, root, rust};

/// A room of `src`, what comes in and goes out, and what it must never do. From the ground up.
const ROOMS: &[(&str, &str, &str)] = &[
    ("base", "clock, secret, short texts, shares of bounded room", "do I/O beyond reading the clock"),
    ("domain", "head, refusal, fault, outcome, answer, what is sensitive", "know sockets, configuration or crypto"),
    (
        "scheme",
        "recipe, secrets, time and bytes in; proof or refusal out",
        "read a clock, log, or let a request choose",
    ),
    (
        "guards",
        "address lists, rates, dedupe memory, error budget, traffic baseline, addresses a list lacks",
        "know one another, or record anything",
    ),
    ("upstream", "one request to internal servers; what came back", "be named by its library's types anywhere else"),
    ("observe", "a fact in; log line and metric out", "make a request wait"),
    ("store", "what must survive: spool, history, dedupe keys", "decide when to try again"),
    (
        "runtime",
        "the compiled configuration, what outlives a reload, who may deliver now",
        "read a file or open a socket",
    ),
    ("config", "`relay.toml` in; `runtime::snapshot` or a report out", "let `config::raw` be seen above it"),
    ("gate", "a request's whole way; each step's verdict", "touch a socket, or pick a status outside `answer.rs`"),
    ("delivery", "from the store to the upstream", "be known to the pipeline"),
    ("edge", "sockets, TLS, HTTP/1.1 and HTTP/2", "decide whether a webhook is genuine"),
    (
        "control",
        "the process: start, stop, reload, private listener, service manager",
        "decide whether a webhook is genuine",
    ),
    ("cli", "commands, demo, and what a provider does", "be imported"),
];

/// What each module may import. A name may stand in a row only if its own row stands above, except where a comment says why.
/// A room with parts has a row for each.
const FLOORS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("domain", &["base"]),
    ("scheme", &["base", "domain"]),
    ("guards::access", &["domain"]),
    ("guards::budget", &["base"]),
    ("guards::dedupe", &["base"]),
    ("guards::baseline", &["base"]),
    ("guards::meter", &["domain"]),
    ("guards::unlisted", &["base"]),
    ("upstream", &["base", "domain"]),
    ("observe", &["base", "domain"]),
    // Keys of dedupe memory outlive the process.
    ("store", &["base", "domain", "guards::dedupe"]),
    // Who may deliver now; what is delivered comes out of the store.
    ("runtime::dispatch", &["base", "domain", "store"]),
    // Upward, and only as a name: the table is generic, and `Route` is its default parameter.
    ("runtime::routing", &["runtime::snapshot"]),
    // What was configured, and what outlives it.
    (
        "runtime::snapshot",
        &[
            "base",
            "domain",
            "guards::access",
            "guards::budget",
            "guards::dedupe",
            "guards::baseline",
            "guards::meter",
            "runtime::routing",
            "scheme",
            "store",
            "upstream",
        ],
    ),
    (
        "runtime::state",
        &[
            "base",
            "guards::access",
            "guards::budget",
            "guards::dedupe",
            "guards::baseline",
            "guards::meter",
            "guards::unlisted",
            "runtime::dispatch",
            "store",
            "upstream",
        ],
    ),
    (
        "config",
        &[
            "base",
            "domain",
            "guards::access",
            "guards::meter",
            "runtime::routing",
            "runtime::snapshot",
            "runtime::state",
            "scheme",
            "store",
            "upstream",
        ],
    ),
    (
        "gate::pipeline",
        &[
            "base",
            "domain",
            "guards::access",
            "guards::budget",
            "guards::dedupe",
            "guards::meter",
            "observe",
            "runtime::dispatch",
            "runtime::routing",
            "runtime::snapshot",
            "runtime::state",
            "scheme",
            "store",
            "upstream",
        ],
    ),
    (
        "gate::explain",
        &[
            "base",
            "domain",
            "gate::pipeline",
            "guards::access",
            "guards::meter",
            "runtime::snapshot",
            "scheme",
            "store",
        ],
    ),
    (
        "delivery",
        &["base", "domain", "gate::pipeline", "observe", "runtime::dispatch", "runtime::snapshot", "store", "upstream"],
    ),
    ("edge", &["base", "domain", "gate::pipeline", "guards::meter", "observe", "runtime::snapshot"]),
    ("control::reload", &[]),
    ("control::service", &[]),
    (
        "control::admin",
        &["base", "config", "domain", "gate::explain", "observe", "runtime::snapshot", "scheme", "store"],
    ),
    (
        "control::app",
        &[
            "base",
            "config",
            "control::admin",
            "control::reload",
            "control::service",
            "delivery",
            "domain",
            "edge",
            "gate::explain",
            "gate::pipeline",
            "guards::access",
            "guards::budget",
            "guards::baseline",
            "guards::meter",
            "guards::unlisted",
            "observe",
            "runtime::dispatch",
            "runtime::snapshot",
            "runtime::state",
            "store",
            "upstream",
        ],
    ),
    ("cli::terminal", &["base"]),
    // A provider, for the demo and for `send`: it signs with the scheme and never sees the relay's own path.
    ("cli::sender", &["scheme"]),
    // Private certificates, for the demo and for `init`.
    ("cli::authority", &["base"]),
    // Commands: anything below.
    ("cli::demo", &["*"]),
    ("cli", &["*"]),
];

/// Who may name a library. Everybody else gets its types through these.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("pingora_core", &["upstream"]),
    ("pingora_http", &["upstream"]),
    ("pingora_error", &["upstream"]),
    // The ticket keys of `state` and the server configuration of `snapshot` are rustls' own types.
    ("rustls", &["config", "edge", "cli::sender", "runtime::snapshot", "runtime::state", "upstream", "cli::demo"]),
    ("tokio_rustls", &["cli::sender", "cli::demo"]),
    ("rustls_pki_types", &["config", "cli::sender", "upstream", "cli::demo"]),
    ("httparse", &["edge", "cli", "upstream"]),
    ("toml", &["config", "cli"]),
    ("clap", &["cli"]),
    ("rcgen", &["cli::authority"]),
    ("inotify", &["control::reload"]),
    ("sd_notify", &["control::service"]),
    ("listenfd", &["control::service"]),
    ("libc", &["config"]),
    ("rusqlite", &["store"]),
    ("rustix", &["base", "cli", "store"]),
    ("crossbeam_queue", &["store"]),
];

/// Between these two lines of the page stands the printed map.
const BEGIN: &str = "<!-- printed by tests/tidy/floors.rs, from here -->";
const END: &str = "<!-- to here -->";

/// Modules that have a row of their own: `gate::pipeline`, and `edge`, which has no parts.
fn module_of(first: &str, second: Option<&str>) -> String {
    let part = second.map(|second| format!("{first}::{second}"));
    part.filter(|part| FLOORS.iter().any(|(module, _)| module == part)).unwrap_or_else(|| first.to_owned())
}

/// Files of the product by their module. The root file of a room with parts only names them.
fn product() -> Vec<(String, String, String)> {
    let of = |path: &str| {
        let mut parts = path["src/".len()..path.len() - ".rs".len()].split('/');
        module_of(parts.next().unwrap(), parts.next())
    };
    let named = |path: &str| path.ends_with("/tests.rs") || ["src/lib.rs", "src/main.rs"].contains(&path);
    let files = rust("src").into_iter().filter(|(path, _)| !named(path));
    files.map(|(path, text)| (of(&path), path, code(&text))).collect()
}

/// The identifiers that follow `before`, those in one pair of braces included.
fn named(code: &str, before: &str) -> BTreeSet<String> {
    let ident = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(before) {
        let preceded = code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$');
        let rest = &code[at + before.len()..];
        match rest.strip_prefix('{') {
            _ if preceded => {}
            Some(list) => found.extend(list.split('}').next().unwrap().split(',').map(|name| ident(name.trim()))),
            None => drop(found.insert(ident(rest))),
        }
    }
    found.remove("");
    found
}

/// What a file imports of other modules.
fn imports(code: &str) -> BTreeSet<String> {
    let rooms = named(code, "crate::").into_iter();
    rooms
        .flat_map(|room| {
            let parts: BTreeSet<_> =
                named(code, &format!("crate::{room}::")).iter().map(|part| module_of(&room, Some(part))).collect();
            if parts.is_empty() { BTreeSet::from([room]) } else { parts }
        })
        .collect()
}

#[test]
fn imports_go_down_only() {
    let floors: BTreeMap<_, _> = FLOORS.iter().copied().collect();
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for (module, path, code) in product() {
        let imported: Vec<_> = imports(&code).into_iter().filter(|other| *other != module).collect();
        if imported.is_empty() {
            continue;
        }
        let allowed = floors.get(module.as_str()).unwrap_or_else(|| panic!("{path}: {module} has no floor yet"));
        for other in imported {
            assert!(allowed.contains(&"*") || allowed.contains(&other.as_str()), "{path} imports crate::{other}");
            used.insert((module.clone(), other));
        }
    }
    for (module, allowed) in FLOORS {
        for other in allowed.iter().filter(|other| **other != "*") {
            let known = used.contains(&((*module).to_owned(), (*other).to_owned()));
            assert!(known, "{module} imports {other} no more: take it out of the table");
        }
    }
}

#[test]
fn the_floors_are_floors() {
    let mut above = BTreeSet::new();
    for (module, allowed) in FLOORS {
        for other in allowed.iter().filter(|other| **other != "*") {
            let upward = (*module, *other) == ("runtime::routing", "runtime::snapshot");
            assert!(upward || above.contains(other), "{module} stands above {other}, which it imports");
        }
        assert!(above.insert(*module), "{module} twice");
    }
}

/// Rooms too stand one above the other: no part of a lower one imports a part of a higher one.
#[test]
fn the_rooms_are_floors_and_every_folder_is_one() {
    let place = |module: &str| {
        let room = module.split("::").next().unwrap();
        ROOMS.iter().position(|(name, ..)| *name == room).unwrap_or_else(|| panic!("{room} is no room"))
    };
    for (module, allowed) in FLOORS {
        for other in allowed.iter().filter(|other| **other != "*") {
            assert!(place(other) <= place(module), "{module} stands below {other}, which it imports");
        }
    }
    let rooms: BTreeSet<_> = ROOMS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let listed = fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap().path());
    let listed: BTreeSet<_> = listed.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(&listed - &BTreeSet::from(["lib".to_owned(), "main".to_owned()]), rooms);
}

/// The map as a table, from the ground up.
fn map() -> String {
    let mut text = "| room | what it gives | parts | imports | must never |\n|---|---|---|---|---|\n".to_owned();
    for (room, gives, never) in ROOMS {
        let of_room = |module: &&str| module.split("::").next() == Some(*room);
        let parts = FLOORS.iter().map(|(module, _)| *module).filter(of_room);
        let parts: Vec<_> = parts.filter_map(|module| Some(format!("`{}`", module.split_once("::")?.1))).collect();
        let rows = FLOORS.iter().filter(|(module, _)| of_room(module)).flat_map(|(_, allowed)| *allowed);
        let rooms: BTreeSet<_> = rows.map(|module| module.split("::").next().unwrap()).collect();
        let imports = match rooms.contains("*") {
            true => "anything below".to_owned(),
            false => {
                let below = ROOMS.iter().map(|(name, ..)| *name).filter(|name| name != room && rooms.contains(name));
                below.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            }
        };
        let _ = writeln!(text, "| `{room}` | {gives} | {} | {imports} | {never} |", parts.join(", "));
    }
    text
}

#[test]
fn the_map_of_the_floors_is_printed_as_it_is_checked() {
    let path = root().join("docs/architecture.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for it");
    let (_, after) = rest.split_once(END).expect("and an end of it");
    let renewed = format!("{before}{BEGIN}\n\n{}\n{END}{after}", map());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, renewed).unwrap();
    } else {
        assert!(page == renewed, "UPDATE_GOLDEN=1 cargo test --test tidy renews the map");
    }
}

#[test]
fn libraries_stay_behind_their_modules() {
    for (module, path, code) in product() {
        for (library, owners) in LIBRARIES {
            let names = [format!("{library}::"), format!("use {library};")];
            let uses = names.iter().any(|name| {
                code.match_indices(name.as_str()).any(|(at, _)| {
                    let before = code[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
                        || (code[..at].ends_with("::")
                            && !code[..at].trim_end_matches("::").ends_with(char::is_alphanumeric))
                })
            });
            assert!(!uses || owners.contains(&module.as_str()), "{path} names {library}");
        }
    }
}

/// The pipeline decides; it talks to nobody.
#[test]
fn the_pipeline_knows_no_socket() {
    for (module, path, code) in product() {
        let room = module.split("::").next().unwrap();
        if ["scheme", "domain", "guards"].contains(&room) || ["gate::pipeline", "runtime::routing"].contains(&&*module)
        {
            for name in ["tokio::net", "std::net::Tcp", "hyper::", "h2::", "std::fs", "tokio::fs", "std::env"] {
                assert!(!code.contains(name), "{path} names {name}");
            }
        }
    }
}
