//! `check`: codes, problems with their places, no secret quoted.

use serde_json::json;

use super::harness::{Application, CANARY, Installation, Manner, Running, Said, binary, relay, said};

fn installation() -> Installation {
    Installation::new("http://127.0.0.1:9")
}

#[test]
fn a_good_configuration_is_fine() {
    let installation = installation();
    let said = installation.relay(&["check"]).exits(0);
    assert!(said.out.contains("fine: 3 routes, 1 listener"), "{}", said.out);
    let found = installation.relay(&["check", "--format", "json"]).exits(0).json();
    assert_eq!((&found["fine"], &found["routes"], &found["listeners"]), (&json!(true), &json!(3), &json!(1)));
}

#[test]
fn the_environment_names_the_configuration() {
    let installation = installation();
    let output = binary().arg("check").env("DMZ_RELAY_CONFIG", installation.config()).output();
    said(output.unwrap()).exits(0);
}

#[test]
fn every_problem_has_its_place_and_what_helps() {
    let installation = installation();
    let text = installation.read("relay.toml").replace("[limits]\n", "[limits]\nhead_timeout = \"5 fortnights\"\n");
    let line = text.lines().position(|line| line.starts_with("head_timeout")).unwrap() + 1;
    let text = text.replace("provider = \"octolis\"", "provider = \"octulis\"");
    installation.write("relay.toml", &text);
    let said = installation.relay(&["check"]).exits(1);
    let place = format!("relay.toml:{line}:16: limits.head_timeout: ");
    assert!(said.out.contains(&place), "{place} in:\n{}", said.out);
    assert!(
        said.out.contains(&format!("{line} | head_timeout = \"5 fortnights\"\n       |                ^")),
        "{}",
        said.out
    );
    assert!(said.out.contains("  help: ") && said.out.contains("octolis"), "{}", said.out);
    assert!(said.out.contains("2 problems"), "{}", said.out);

    let found = installation.relay(&["check", "--format", "json"]).exits(1).json();
    assert_eq!(found["problems"][0]["line"], json!(line));
    assert_eq!(found["problems"][0]["column"], json!(16));
    assert_eq!(found["problems"][0]["key"], json!("limits.head_timeout"));
    assert_eq!(found["problems"].as_array().unwrap().len(), 2);
}

#[test]
fn a_file_that_cannot_be_read_is_another_matter() {
    let said = relay(&["check", "--config", "/nonexistent/relay.toml"]).exits(2);
    assert!(said.out.contains("/nonexistent/relay.toml"), "{}", said.out);
    let found = relay(&["check", "--config", "/nonexistent/relay.toml", "--format", "json"]).exits(2).json();
    assert_eq!(found["unreadable"], json!(true));
}

/// The harness fails on any output with the canary in it.
#[test]
fn a_secret_in_the_file_is_a_problem_that_does_not_quote_it() {
    let installation = installation();
    let good = installation.read("relay.toml");
    for bad in [
        good.replace("secrets = [{ file = \"github\" }]", &format!("secrets = [\"{CANARY}\"]")),
        good.replace("secrets = [{ file = \"github\" }]", &format!("secrets = [\n  \"{CANARY}\",\n]")),
        good.replace("secrets = [{ file = \"github\" }]", &format!("secrets = \"{CANARY}\"")),
        good.replace("secrets = [{ file = \"github\" }]", &format!("secrets = [\"{CANARY}")),
        good.replace(
            "secrets = [{ file = \"github\" }]",
            &format!("secrets = [{{ file = \"github\" }}]\nupstream_headers = {{ \"X y\" = \"{CANARY}\" }}"),
        ),
    ] {
        assert_ne!(bad, good);
        installation.write("relay.toml", &bad);
        installation.relay(&["check"]).exits(1);
        installation.relay(&["check", "--format", "json"]).exits(1);
    }
}

#[test]
fn wrong_usage_is_told_apart_from_a_no() {
    for line in [&["chek"][..], &[], &["check", "--oops"], &["verify", "--request", "x"]] {
        relay(line).exits(2);
    }
    let help = relay(&["--help"]).exits(0);
    assert!(help.out.contains("Exit codes:"), "{}", help.out);
    relay(&["--version"]).exits(0);
}

/// A user, a password or a token in a URL stands in no report: neither in its sentence nor in the line that it shows.
#[test]
fn what_a_url_gives_away_is_not_repeated() {
    let good = Installation::new("http://127.0.0.1:9").read("relay.toml");
    for (from, to) in [
        ("http://127.0.0.1:9", format!("http://user:{CANARY}@127.0.0.1:9")),
        ("http://127.0.0.1:9", format!("http://user:{}@127.0.0.1:9", CANARY.repeat(20))),
        ("http://127.0.0.1:9", format!("user:{CANARY}@127.0.0.1:9")),
        ("http://127.0.0.1:9", format!("http://127.0.0.1:9?{CANARY}")),
        ("provider = \"github\"", format!("provider = \"github\"\npublic_url = \"https://u:{CANARY}@a.example/\"")),
        ("provider = \"github\"", format!("provider = \"github\"\npublic_url = \"https://a.example/?{CANARY}\"")),
        ("provider = \"github\"", format!("provider = \"https://u:{CANARY}@github.com\"")),
        ("provider = \"github\"", format!("provider = \"github\"\nhost = \"u:{CANARY}@a.example\"")),
    ] {
        let installation = Installation::new("http://127.0.0.1:9");
        let bad = good.replacen(from, &to, 1);
        assert_ne!(bad, good);
        installation.write("relay.toml", &bad);
        for arguments in [&["check"][..], &["check", "--format", "json"]] {
            // The harness looks for the canary in everything that is said.
            let said = installation.relay(arguments).exits(1);
            assert!(said.out.contains("***"), "{to}: {}", said.out);
        }
        let said = installation.relay(&["run"]).exits(1);
        assert!(said.out.contains("***") || said.err.contains("***"), "{to}: {}{}", said.out, said.err);
    }
}

/// `check` on a host where a unit with these settings runs the relay of this installation.
fn in_unit(installation: &Installation, settings: &str, arguments: &[&str]) -> Said {
    let unit = format!("[Service]\nExecStart=/usr/bin/dmz-relay run --config {}\n{settings}", installation.config());
    installation.write("dmz-relay.service", &unit);
    let mut command = binary();
    command.args(["check", "--config", &installation.config()]).args(arguments);
    said(command.env("SYSTEMD_UNIT_PATH", installation.folder.path()).output().unwrap())
}

#[test]
fn the_memory_figure_goes_by_the_file_whoever_calls() {
    let installation = installation();
    let figure = |files: u32| {
        let script = format!("ulimit -Sn {files}; exec \"$0\" check --format json --config \"$1\"");
        let mut command = std::process::Command::new("bash");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_dmz-relay"), &installation.config()]);
        said(command.output().unwrap()).exits(0).json()["memory"].clone()
    };
    let few = figure(64);
    assert!(few["bytes"].as_u64().unwrap() > 1 << 30, "{few}");
    assert_eq!(few, figure(1024));
}

#[test]
fn limits_beyond_the_unit_are_warnings_with_a_value_that_fits() {
    let installation = installation();
    let text = installation.read("relay.toml");
    let limits = "[limits]\nmax_connections = 100\nbody_memory = \"1GiB\"\n";
    installation.write("relay.toml", &text.replace("[limits]\n", limits));
    let warnings =
        |settings: &str| in_unit(&installation, settings, &["--format", "json"]).exits(0).json()["warnings"].clone();
    let before = warnings("LimitNOFILE=65536\n");
    let beyond = warnings("LimitNOFILE=128\nMemoryMax=700M\n");
    let new: Vec<_> =
        beyond.as_array().unwrap().iter().filter(|one| !before.as_array().unwrap().contains(one)).collect();
    let says = |key: &str, what: &str, help: &str| {
        let said = |one: &&&serde_json::Value, field: &str, words: &str| one[field].as_str().unwrap().contains(words);
        let found = new.iter().find(|one| one["key"] == key).unwrap_or_else(|| panic!("{key}: {beyond}"));
        assert!(said(&found, "what", what) && said(&found, "help", help), "{found}");
    };
    says("limits", "the unit has MemoryMax=700M", "write body_memory = ");
    says("limits.max_connections", "the unit has LimitNOFILE=128", "set LimitNOFILE=256");
    assert_eq!(new.len(), 2, "{beyond}");
    // A drop-in counts, and a unit of another configuration does not.
    std::fs::create_dir(installation.folder.path().join("dmz-relay.service.d")).unwrap();
    installation.write("dmz-relay.service.d/memory.conf", "[Service]\nMemoryMax=16G\nLimitNOFILE=65536\n");
    assert_eq!(warnings("MemoryMax=700M\n"), before);
    let elsewhere = "MemoryMax=1M\nExecStart=\nExecStart=/usr/bin/dmz-relay run --config /elsewhere.toml\n";
    std::fs::remove_dir_all(installation.folder.path().join("dmz-relay.service.d")).unwrap();
    assert_eq!(warnings(elsewhere), before);
}

#[test]
fn a_role_for_an_account_that_this_host_does_not_have_is_a_warning() {
    let installation = installation();
    let text = installation.read("relay.toml");
    let roles = "[admin]\noperators = [\"group:nobody-has-this\", \"user:root\"]\n";
    installation.write("relay.toml", &text.replace("[admin]\n", roles));
    let said = installation.relay(&["check"]).exits(0);
    let line = "warning: admin.operators: \"group:nobody-has-this\" names nobody on this host";
    assert!(said.out.contains(line) && !said.out.contains("user:root"), "{}", said.out);
}

/// Outside the unit nobody knows a credential: neither a problem of the file, nor fine without a word.
#[test]
fn a_credential_outside_the_unit_is_said_to_be_not_looked_at() {
    let installation = installation();
    let text = installation.read("relay.toml");
    let with = "secrets = [{ credential = \"github\" }]";
    installation.write("relay.toml", &text.replace("secrets = [{ file = \"github\" }]", with));
    let said = installation.relay(&["check"]).exits(0);
    assert!(said.out.contains("the credential \"github\" was not looked at"), "{}", said.out);
    assert!(said.out.contains("help: LoadCredential=github:PATH"), "{}", said.out);
    // In the unit it is looked at.
    let folder = installation.folder.path().join("credentials");
    std::fs::create_dir(&folder).unwrap();
    let check = || {
        let mut command = binary();
        command.args(["check", "--config", &installation.config()]).env("CREDENTIALS_DIRECTORY", &folder);
        said_of(&mut command)
    };
    assert!(check().exits(1).out.contains("there is no credential \"github\""));
    installation.secret("credentials/github", &format!("{CANARY}-github-secret"));
    assert!(!check().exits(0).out.contains("not looked at"));
}

/// What the unit gives is known from its files, and what it lacks keeps it from starting.
#[test]
fn what_only_the_unit_gives_is_judged_by_the_unit() {
    let installation = installation();
    let text = installation.read("relay.toml");
    let with = "secrets = [{ credential = \"github\" }, { env = \"GITHUB_OLD\" }]";
    installation.write("relay.toml", &text.replace("secrets = [{ file = \"github\" }]", with));
    let said = in_unit(&installation, "LoadCredential=github:/etc/x\nEnvironment=GITHUB_OLD=x\n", &[]).exits(0);
    assert!(said.out.contains("the credential \"github\" was not looked at"), "{}", said.out);
    assert!(said.out.contains("the variable \"GITHUB_OLD\" was not looked at"), "{}", said.out);
    in_unit(&installation, "LoadCredential=github:/etc/x\nEnvironmentFile=/etc/y\n", &[]).exits(0);
    let said = in_unit(&installation, "LoadCredential=githib:/etc/x\nEnvironment=GITHUB_OLD=x\n", &[]).exits(1);
    assert!(said.out.contains("there is no credential \"github\""), "{}", said.out);
    assert!(said.out.contains("help: add LoadCredential=github:PATH"), "{}", said.out);
    let said = in_unit(&installation, "LoadCredential=github:/etc/x\n", &[]).exits(1);
    assert!(said.out.contains("the environment variable GITHUB_OLD is not set"), "{}", said.out);
}

fn said_of(command: &mut std::process::Command) -> Said {
    said(command.output().unwrap())
}

/// Of this account every host knows, and no test is run by it.
const NOBODY: &str = "nobody";

#[test]
fn files_are_judged_as_the_services_user_and_what_is_in_the_way_is_told_once() {
    use std::os::unix::fs::PermissionsExt;
    let installation = installation();
    let open = |path: &str, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let folder = installation.folder.path().to_str().unwrap().to_owned();
    open(&folder, 0o700);
    let said = installation.relay(&["check", "--as", NOBODY]).exits(1);
    assert!(said.out.contains(&format!("the user nobody may not enter {folder} (mode 0700")), "{}", said.out);
    assert!(said.out.contains(&format!("needs {folder}/relay.toml and 6 more")), "{}", said.out);
    assert_eq!(said.out.matches("may not").count(), 1, "{}", said.out);
    assert!(said.out.contains("judged as the user nobody"), "{}", said.out);
    open(&folder, 0o755);
    let found = installation.relay(&["check", "--as", NOBODY, "--format", "json"]).exits(1).json();
    let told: Vec<_> = found["problems"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
    for name in ["github", "octolis", "relay.key", "stripe"] {
        let words = format!("{folder}/{name} may not be read by the user nobody (mode 0600");
        assert_eq!(told.iter().filter(|what| what.starts_with(&words)).count(), 1, "{told:#?}");
    }
    assert!(
        told.iter().any(|what| what.starts_with(&format!("{folder} may not be written"))),
        "the admin socket's: {told:#?}"
    );
    assert_eq!((told.len(), &found["judged_as"]), (5, &json!(NOBODY)));
    installation.relay(&["check"]).exits(0);
    let said = installation.relay(&["check", "--as", "nobody-has-this-name"]).exits(2);
    assert!(said.err.contains("this host has no user nobody-has-this-name"), "{}", said.err);
}

#[test]
fn root_judges_as_the_units_user() {
    let installation = installation();
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped, needs root");
        return;
    }
    let said = in_unit(&installation, "User=nobody\n", &[]).exits(1);
    assert!(
        said.out.contains("github may not be read by the user nobody") || said.out.contains("may not enter"),
        "{}",
        said.out
    );
    in_unit(&installation, "User=root\n", &[]).exits(0);
    in_unit(&installation, "User=nobody\n", &["--as", "root"]).exits(0);
    let said = in_unit(&installation, "User=nobody-has-this-name\n", &[]).exits(1);
    assert!(
        said.out.contains("the unit has User=nobody-has-this-name, and this host has no such account"),
        "{}",
        said.out
    );
}

#[test]
fn what_the_unit_hides_or_makes_read_only_is_found() {
    let installation = installation();
    let text = installation.read("relay.toml");
    installation
        .write("relay.toml", &format!("{text}[store]\nsqlite = {{ path = \"relay.db\" }}\ndisk_reserve = \"0B\"\n"));
    let settings = "ProtectSystem=strict\nStateDirectory=dmz-relay\n";
    let said = in_unit(&installation, settings, &[]).exits(1);
    assert!(said.out.contains("is read-only for the service (ProtectSystem=strict"), "{}", said.out);
    let settings = format!("{settings}ReadWritePaths={}\n", installation.folder.path().display());
    in_unit(&installation, &settings, &[]).exits(0);
    if installation.folder.path().starts_with("/tmp") {
        let said = in_unit(&installation, "PrivateTmp=yes\n", &[]).exits(1);
        assert!(said.out.contains("lies below /tmp, which the unit hides (PrivateTmp=)"), "{}", said.out);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_once_with_its_path_once() {
    let said = relay(&["check", "--config", "/nonexistent/relay.toml"]).exits(2);
    assert_eq!(said.out, "/nonexistent/relay.toml: does not exist\n  help: name it with --config\n\n");
}

#[test]
fn connect_tries_names_servers_tls_and_the_stores_disk() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let relay = Running::start(&installation);
    let port = relay.public.rsplit(':').next().unwrap();
    let text = installation.read("relay.toml");
    let store = "[store]\nsqlite = { path = \"relay.db\" }\ndisk_reserve = \"0B\"\n";
    let other = Installation::new("http://127.0.0.1:9");
    other.secret("other.crt", &other.read("relay.crt"));
    let check = |upstreams: &str, code: i32| {
        other.write(
            "relay.toml",
            &format!(
                "{}{store}{upstreams}",
                text.replace(installation.folder.path().to_str().unwrap(), other.folder.path().to_str().unwrap())
            ),
        );
        other.relay(&["check", "--connect", "--format", "json"]).exits(code).json()
    };
    std::fs::copy(installation.path("relay.crt"), other.path("relays.crt")).unwrap();
    let tls =
        |server: &str, ca: &str| format!("[upstreams.tls]\nservers = [\"{server}\"]\ntls = {{ ca = \"{ca}\" }}\n");

    let found = check(&tls(&format!("https://localhost:{port}"), "relays.crt"), 0);
    assert_eq!(found["connect"]["servers"][0]["agreed"], "HTTP/1.1", "{found:#}");
    assert!(found["connect"]["servers"][1]["agreed"].as_str().unwrap().starts_with("TLS, "), "{found:#}");
    assert!(found["connect"]["store"]["took_ms"].is_number(), "{found:#}");
    assert_eq!(
        std::fs::read_dir(other.folder.path())
            .unwrap()
            .filter(|entry| { entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".dmz-relay-check") })
            .count(),
        0,
        "nothing is left"
    );
    for (server, ca, what, help) in [
        (format!("https://localhost:{port}"), "other.crt", "was not reached", "names the authority"),
        (format!("https://127.0.0.1:{port}"), "relays.crt", "was not reached", "server_name the name in it"),
        ("https://nobody.invalid:8443".to_owned(), "relays.crt", "name was not resolved", "is the server running"),
        ("https://127.0.0.1:9".to_owned(), "relays.crt", "refused", "is the server running"),
    ] {
        let found = check(&tls(&server, ca), 1);
        let problem = &found["problems"][0];
        assert_eq!(
            (&problem["key"], found["problems"].as_array().unwrap().len()),
            (&json!("upstreams.tls.servers"), 1),
            "{found:#}"
        );
        let says = |member: &str, words: &str| problem[member].as_str().unwrap().contains(words);
        assert!(says("what", &server) && says("what", what) && says("help", help), "{problem:#}");
        assert_eq!(found["connect"]["servers"][1]["agreed"], serde_json::Value::Null);
    }
    other.write("relay.toml", &other.read("relay.toml").replace("path = \"relay.db\"", "path = \"/proc/relay.db\""));
    let said = other.relay(&["check", "--connect"]).exits(1);
    assert!(said.out.contains("store.sqlite.path: /proc cannot be written"), "{}", said.out);
    assert!(said.out.contains("https://127.0.0.1:9"), "{}", said.out);
    // Without the flag nobody is asked.
    let before = application.arrived().len();
    other.relay(&["check"]).exits(0);
    assert_eq!(application.arrived().len(), before);
}

/// Whoever may write in the folder of a secret can put another one there.
#[test]
fn secrets_that_a_foreign_group_may_replace_are_a_warning() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let installation = installation();
    let secret = std::path::PathBuf::from(installation.path("github"));
    let folder = secret.parent().unwrap();
    let told = |mode: u32| {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
        let found = installation.relay(&["check", "--as", NOBODY, "--format", "json"]).json();
        let warnings = found["warnings"].as_array().unwrap().clone();
        let what = |one: &serde_json::Value| one["what"].as_str().unwrap().to_owned();
        warnings.iter().map(what).filter(|what| what.contains("may be written by the group")).collect::<Vec<_>>()
    };
    if std::fs::metadata(folder).unwrap().gid() == 0 {
        // Root's own group is nobody else's.
        assert_eq!(told(0o775), [""; 0]);
        std::os::unix::fs::chown(folder, None, Some(4_000_001)).unwrap();
    }
    assert_eq!(told(0o755), [""; 0]);
    let told = told(0o775);
    assert!(told.len() == 1 && told[0].ends_with("and secrets lie below it"), "{told:?}");
}
