//! `config` and `check --diff`: what changed, what is running, and the way back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use super::harness::{CANARY, Installation, Running, Said};

const STORED: &str = "\n[store]\nsqlite = { path = \"relay.db\" }\ndisk_reserve = \"0B\"\n";
const MORE: &str = "\n[routes.more]\npath = \"/hooks/more\"\nprovider = \"github\"\n\
                    secrets = [{ file = \"github\" }]\nupstream = \"application\"\n";

/// An installation with a store, whose file waits until somebody asks.
fn installation() -> Installation {
    let installation = Installation::new("http://127.0.0.1:9");
    let text = format!("reload = \"manual\"\n{}{STORED}", installation.read("relay.toml"));
    installation.write("relay.toml", &text);
    installation
}

fn save(installation: &Installation, change: impl FnOnce(String) -> String) {
    let text = change(installation.read("relay.toml"));
    installation.write("relay.toml", &text);
}

/// Two versions, the second in force.
fn two_versions() -> (Installation, Running) {
    let installation = installation();
    let relay = Running::start(&installation);
    save(&installation, |text| text + MORE);
    let said = installation.relay(&["reload"]).exits(0);
    assert!(said.out.contains("route more added"), "{}", said.out);
    (installation, relay)
}

fn stop(mut relay: Running) {
    relay.signal("TERM");
    assert_eq!(relay.ended(), 0);
}

#[test]
fn check_says_what_a_reload_would_change() {
    let installation = installation();
    let diff = |code| installation.relay(&["check", "--diff"]).exits(code);
    let said = diff(2);
    assert!(said.out.contains("fine") && said.err.contains("cannot reach the relay"), "{} {}", said.out, said.err);
    let relay = Running::start(&installation);
    assert!(diff(0).out.contains("no difference from what is running: configuration 1 (version 1)"));
    save(&installation, |text| text + MORE);
    let said = diff(0);
    assert!(
        said.out.contains("a reload would change configuration 1 (version 1):\n  route more added\n"),
        "{}",
        said.out
    );
    let json = installation.relay(&["check", "--diff", "--format", "json"]).exits(0).json();
    assert_eq!(json["diff"], json!({ "generation": 1, "version": 1, "changes": ["route more added"] }));
    // A file that would be kept out is compared all the same.
    save(&installation, |text| {
        text.replace("hooks/more\"\nprovider = \"github\"", "hooks/more\"\nprovider = \"gitbub\"")
    });
    let said = diff(1);
    assert!(said.out.contains("gitbub") && said.out.contains("route more added"), "{}", said.out);
    while relay.event("config_pending")["problems"] != 1 {}
    // Status says what to do, in the order in which to do it.
    let said = installation.relay(&["status"]).exits(1);
    let to_do = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(to_do.contains("was saved") && to_do.contains("then dmz-relay reload"), "{}", said.out);
    // Another file than the relay's is no comparison.
    installation.write("other.toml", &installation.read("relay.toml"));
    let said = super::harness::relay(&["check", "--diff", "--config", &installation.path("other.toml")]).exits(2);
    assert!(said.err.contains("other.toml"), "{}", said.err);
    stop(relay);
}

#[test]
fn versions_are_listed_shown_and_compared() {
    let (installation, relay) = two_versions();
    let said = installation.relay(&["config", "list"]).exits(0);
    assert!(said.out.contains("2 (running)") && said.out.contains("route more added"), "{}", said.out);
    let list = installation.relay(&["config", "list", "--format", "json"]).exits(0).json();
    assert_eq!((&list["running"], &list["versions"][1]["trigger"]), (&json!(2), &json!("start")));
    let shown = |arguments: &[&str]| installation.relay(&[&["config", "show"], arguments].concat()).exits(0).out;
    assert_eq!(shown(&[]), installation.read("relay.toml"));
    assert_eq!(shown(&["2"]), installation.read("relay.toml"));
    assert_eq!(shown(&["1"]), installation.read("relay.toml").replace(MORE, ""));
    let diff = |arguments: &[&str]| installation.relay(&[&["config", "diff"], arguments].concat());
    assert_eq!(diff(&[]).exits(0).out, "from version 1 to version 2:\n  route more added\n");
    assert_eq!(diff(&["2", "1"]).exits(0).out, "from version 2 to version 1:\n  route more removed\n");
    assert_eq!(diff(&["2"]).exits(0).out, "versions 2 and 2 say the same\n");
    let json = diff(&["1", "--format", "json"]).exits(0).json();
    assert_eq!(json, json!({ "old": 1, "new": 2, "changes": ["route more added"] }));
    for unknown in [diff(&["7"]), installation.relay(&["config", "show", "7"])] {
        assert!(unknown.exits(2).err.contains("no version with this number is kept"));
    }
    stop(relay);
    // The same from the files, while no relay runs.
    let said = installation.relay(&["config", "list"]).exits(0);
    assert!(said.err.contains("no relay answers; versions are read from"), "{}", said.err);
    assert!(said.out.contains("route more added") && !said.out.contains("running"), "{}", said.out);
    assert_eq!(shown(&["1"]), installation.read("relay.toml").replace(MORE, ""));
    assert!(installation.relay(&["config", "show", "7"]).exits(2).err.contains("no version 7 is kept"));
}

fn rollback(installation: &Installation, arguments: &[&str]) -> Said {
    installation.relay(&[&["config", "rollback"], arguments].concat())
}

#[test]
fn an_earlier_version_comes_back_into_force() {
    let (installation, relay) = two_versions();
    let second = installation.read("relay.toml");
    let first = second.replace(MORE, "");
    fs::set_permissions(installation.config(), fs::Permissions::from_mode(0o640)).unwrap();
    // Nobody can be asked here.
    let said = rollback(&installation, &[]).exits(2);
    assert!(said.err.contains("route more removed") && said.err.contains("--yes"), "{}", said.err);
    assert_eq!(installation.read("relay.toml"), second);
    let said = rollback(&installation, &["--yes"]).exits(0);
    assert!(said.out.contains("applied: configuration 3") && said.out.contains("route more removed"), "{}", said.out);
    assert_eq!(installation.read("relay.toml"), first);
    assert_eq!(fs::metadata(installation.config()).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(!Path::new(&installation.path("relay.toml.replaced")).exists(), "nothing was lost");
    let list = installation.relay(&["config", "list", "--format", "json"]).exits(0).json();
    assert_eq!(list["running"], 3);
    // Forward again, and what was saved meanwhile is not lost.
    save(&installation, |text| format!("# not yet\n{text}"));
    let done = rollback(&installation, &["2", "--yes", "--format", "json"]).exits(0).json();
    assert_eq!((&done["version"], &done["reload"]["outcome"]), (&json!(2), &json!("applied")));
    assert_eq!(installation.read("relay.toml"), second);
    assert_eq!(installation.read("relay.toml.replaced"), format!("# not yet\n{first}"));
    let said = rollback(&installation, &["2", "--yes"]).exits(0);
    assert!(said.out.contains("says what version 2 says already"), "{}", said.out);
    stop(relay);
}

#[test]
fn a_version_that_would_not_run_today_is_not_put_back() {
    let (installation, relay) = two_versions();
    save(&installation, |text| text.replace("{ file = \"github\" }", "{ file = \"github.new\" }"));
    installation.secret("github.new", &format!("{CANARY}-another-secret"));
    installation.relay(&["reload"]).exits(0);
    fs::remove_file(installation.path("github")).unwrap();
    let now = installation.read("relay.toml");
    let said = rollback(&installation, &["--yes"]).exits(1);
    assert!(said.err.contains("version 2 would not run today; nothing was changed"), "{}", said.err);
    assert_eq!(installation.read("relay.toml"), now);
    stop(relay);
}

/// The relay may see what this command cannot: its own credentials.
#[test]
fn what_the_relay_keeps_out_is_taken_back() {
    let installation = installation();
    installation.secret("credentials", "");
    fs::remove_file(installation.path("credentials")).unwrap();
    fs::create_dir(installation.path("credentials")).unwrap();
    installation.secret("credentials/github", &format!("{CANARY}-github-secret"));
    let of_files = installation.read("relay.toml");
    save(&installation, |text| text.replace("{ file = \"github\" }", "{ credential = \"github\" }"));
    stop(Running::with_credentials(&installation, &installation.path("credentials")));
    installation.write("relay.toml", &of_files);
    let relay = Running::start(&installation);
    let said = rollback(&installation, &["1", "--yes"]).exits(1);
    assert!(said.out.contains("was put back as it was"), "{}", said.out);
    assert_eq!(installation.read("relay.toml"), of_files);
    stop(relay);
    // Where none runs, the next start takes it.
    let said = rollback(&installation, &["1", "--yes"]).exits(0);
    assert!(said.out.contains("the next start takes it"), "{}", said.out);
    assert!(installation.read("relay.toml").contains("credential = \"github\""));
}
