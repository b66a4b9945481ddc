//! `run`, `send`, `status` and `reload` against one another; signals.

use std::fs::{self, Metadata};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use super::harness::{Application, Installation, LONG, Manner, Running, binary, relay, said};

fn send(installation: &Installation, relay: &Running, arguments: &[&str]) -> super::harness::Said {
    installation.relay(&[&["send"], arguments, &["--connect", &relay.public]].concat())
}

#[test]
fn a_sent_request_is_taken_and_a_spoilt_one_is_not() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let mut relay = Running::start(&installation);

    let summary =
        send(&installation, &relay, &["github", "--data", "{ \"exact\" :1}\n", "--format", "json"]).exits(0).json();
    assert_eq!(summary["statuses"], json!({ "200": 1 }));
    let id = summary["answers"][0]["request_id"].as_str().unwrap();
    let line = relay.event("request");
    assert_eq!((line["request_id"].as_str(), &line["outcome"]), (Some(id), &json!("delivered")));
    assert_eq!(application.arrived()[0].body, b"{ \"exact\" :1}\n");

    send(&installation, &relay, &["github", "--tamper"]).exits(0);
    assert_eq!(relay.event("request")["reason"], "signature_mismatch");
    assert_eq!(application.arrived().len(), 1);

    // The second of two equal ones is answered as success and not forwarded.
    send(&installation, &relay, &["github", "--duplicate"]).exits(0);
    assert_eq!(relay.event("request")["outcome"], "delivered");
    assert_eq!(relay.event("request")["outcome"], "duplicate");
    assert_eq!(application.arrived().len(), 2);

    send(&installation, &relay, &["stripe", "--stale"]).exits(0);
    assert_eq!(relay.event("request")["reason"], "timestamp_stale");
    assert_eq!(application.arrived().len(), 2);

    // The required header is filled in; the key does not go inward.
    send(&installation, &relay, &["octolis"]).exits(0);
    let arrived = application.arrived().pop().unwrap();
    assert!(arrived.head.contains("north") && !arrived.head.contains("api-key"), "{}", arrived.head);
    send(&installation, &relay, &["octolis", "--header", "X-Tenant: south"]).exits(1);
    send(&installation, &relay, &["github", "--stale"]).exits(2);

    let many = send(&installation, &relay, &["github", "--count", "40", "--rate", "400", "--format", "json"]).exits(0);
    assert_eq!(many.json()["statuses"], json!({ "200": 40 }));

    relay.signal("TERM");
    assert_eq!(relay.ended(), 0);
}

#[test]
fn the_running_relay_knows_its_own_port() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let relay = Running::start(&installation);
    // Without --connect, and with the certificate of the configuration pinned.
    installation.relay(&["send", "github"]).exits(0);
    let port = relay.public.rsplit(':').next().unwrap();
    let url = format!("https://localhost:{port}/hooks/github");
    let authority = installation.path("relay.crt");
    installation.relay(&["send", "github", "--url", &url, "--cacert", &authority]).exits(0);
    // The system's authorities did not sign it.
    let said = installation.relay(&["send", "github", "--url", &url, "--format", "json"]);
    assert_ne!(said.code, 0, "{}", said.out);
}

#[test]
fn another_certificate_is_not_believed() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let relay = Running::start(&installation);
    let other = Installation::new(&application.url);
    let said = other.relay(&["send", "github", "--connect", &relay.public, "--format", "json"]).exits(1).json();
    assert_eq!(said["statuses"], json!({ "none": 1 }));
    assert!(application.arrived().is_empty());
}

#[test]
fn a_listener_that_wants_a_certificate_gets_one() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let made = rcgen::generate_simple_self_signed(["sender".to_owned()]).unwrap();
    installation.write("sender.crt", &made.cert.pem());
    installation.secret("sender.key", &made.signing_key.serialize_pem());
    let text = installation.read("relay.toml");
    let asking = text.replace("tls = { ", "tls = { client_auth = { ca = \"sender.crt\", required = true }, ");
    assert_ne!(asking, text);
    installation.write("relay.toml", &asking);
    let relay = Running::start(&installation);
    send(&installation, &relay, &["github"]).exits(1);
    let (chain, key) = (installation.path("sender.crt"), installation.path("sender.key"));
    send(&installation, &relay, &["github", "--cert", &chain, "--key", &key]).exits(0);
    assert_eq!(application.arrived().len(), 1);
}

#[test]
fn status_and_reload_speak_with_the_admin_listener() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let relay = Running::start(&installation);
    send(&installation, &relay, &["github"]).exits(0);

    let status = installation.relay(&["status"]).exits(0);
    for part in ["is running", "public", "/hooks/octolis", "application", "takes requests"] {
        assert!(status.out.contains(part), "{part} in:\n{}", status.out);
    }
    let status = installation.relay(&["status", "--format", "json"]).exits(0).json();
    assert_eq!(status["routes"][0]["counts"]["delivered"], json!(1));

    let said = installation.relay(&["reload"]).exits(0);
    assert!(said.out.starts_with("unchanged"), "{}", said.out);

    let good = installation.read("relay.toml");
    installation.write("relay.toml", &good.replace("provider = \"github\"", "provider = \"gitbub\""));
    let said = installation.relay(&["reload"]).exits(1);
    assert!(said.out.contains("kept: 1 problem") && said.out.contains("gitbub"), "{}", said.out);
    let status = installation.relay(&["status"]).exits(1);
    assert!(status.out.contains("what was running goes on"), "{}", status.out);

    installation.write("relay.toml", &good);
    installation.relay(&["reload"]).exits(0);
    installation.relay(&["status"]).exits(0);
}

#[test]
fn status_says_which_address_a_list_lacks() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let text = installation.read("relay.toml");
    let listed = text.replace("provider = \"github\"", "provider = \"github\"\nallow = [\"192.0.2.0/24\"]");
    assert_ne!(listed, text);
    installation.write("relay.toml", &listed);
    let relay = Running::start(&installation);
    installation.relay(&["status"]).exits(0);
    send(&installation, &relay, &["github"]).exits(1);
    let line = relay.event("genuine_unlisted");
    assert_eq!((&line["route"], &line["source"]), (&json!("github"), &json!("127.0.0.1")), "{line}");
    assert_eq!(line["add"], json!("[routes.github] allow = [\"192.0.2.0/24\", \"127.0.0.1\"]"));
    let status = installation.relay(&["status"]).exits(1);
    let said = status.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in
        ["genuine requests from 127.0.0.1 are refused", "[routes.github] allow = [\"192.0.2.0/24\", \"127.0.0.1\"]"]
    {
        assert!(said.contains(part), "{part} in:\n{}", status.out);
    }
    let json = installation.relay(&["status", "--format", "json"]).exits(1).json();
    assert_eq!(json["routes"][0]["unlisted"]["addresses"][0]["address"], json!("127.0.0.1"));
    assert_eq!(application.arrived().len(), 0, "nothing is forwarded");
    // What is listed now is told no more, and the provider's next attempt passes.
    installation.write("relay.toml", &listed.replace("\"192.0.2.0/24\"]", "\"192.0.2.0/24\", \"127.0.0.1\"]"));
    installation.relay(&["reload"]).exits(0);
    installation.relay(&["status"]).exits(0);
    send(&installation, &relay, &["github"]).exits(0);
}

#[test]
fn status_says_which_feed_is_refused_or_old() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let text =
        installation.read("relay.toml").replace("provider = \"github\"", "provider = \"github\"\nallow = [\"theirs\"]");
    let list = "[address_lists]\ntheirs = { feed = \"meta.json\", format = \"github\", member = \"hooks\" }\n";
    installation.write("relay.toml", &format!("{text}{list}"));
    installation.write("meta.json", "{\"hooks\": [\"127.0.0.1\", \"192.0.2.0/24\", \"198.51.100.0/24\"]}");
    let relay = Running::start(&installation);
    installation.relay(&["status"]).exits(0);
    installation.write("meta.json", "{\"hooks\": [\"127.0.0.1\"]}");
    assert_eq!(relay.event("feed_refused")["list"], json!("theirs"));
    let status = installation.relay(&["status"]).exits(1);
    let said = status.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("is refused, and the addresses before stay: lacks"), "{}", status.out);
    assert!(said.contains("dmz-relay check --config"), "{}", status.out);
    send(&installation, &relay, &["github"]).exits(0);
    // Nothing runs there for `check`, and without a store nothing is known of before.
    installation.relay(&["check"]).exits(0);
    installation.write("meta.json", "{\"hooks\": []}");
    let said = installation.relay(&["check"]).exits(1);
    assert!(said.out.contains("holds no network that is meant"), "{}", said.out);
    installation.write("meta.json", "{\"hooks\": [\"127.0.0.1\", \"192.0.2.0/24\"]}");
    let file = fs::File::options().write(true).open(installation.path("meta.json")).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    file.set_modified(written - Duration::from_secs(31 * 86_400)).unwrap();
    installation.relay(&["reload"]).exits(0);
    let status = installation.relay(&["status"]).exits(1);
    let said = status.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("its addresses are 31 days old"), "{}", status.out);
    assert!(installation.relay(&["check"]).exits(0).out.contains("31 days old"));
}

#[test]
fn a_hangup_brings_the_new_configuration() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let relay = Running::start(&installation);
    let text = installation.read("relay.toml").replace("/hooks/github", "/hooks/renamed");
    installation.write("relay.toml", &text);
    relay.signal("HUP");
    // The watcher may have been first: the same configuration comes once.
    assert_eq!(relay.event("config_applied")["generation"], json!(2));
    send(&installation, &relay, &["github", "--path", "/hooks/renamed"]).exits(0);
}

#[test]
fn nobody_there_is_no_answer() {
    let installation = Installation::new("http://127.0.0.1:9");
    for command in ["status", "reload"] {
        let said = installation.relay(&[command]).exits(2);
        assert!(said.err.contains("admin.sock"), "{}", said.err);
        let said = relay(&[command, "--admin", "not an address"]).exits(2);
        assert!(said.err.contains("not an address"), "{}", said.err);
    }
}

#[test]
fn a_long_run_ends_early_where_nobody_answers() {
    let installation = Installation::new("http://127.0.0.1:9");
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let arguments = ["send", "github", "--count", "1000000", "--connect", &free, "--format", "json"];
    let summary = installation.relay(&arguments).exits(1).json();
    assert_eq!((&summary["sent"], &summary["stopped"]), (&json!(10), &json!("nobody answers")));
}

#[test]
fn an_interrupted_run_shows_what_came_of_it() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let relay = Running::start(&installation);
    let sending = binary()
        .args(["send", "github", "--duplicate", "--count", "1000000", "--format", "json"])
        .args(["--config", &installation.config(), "--connect", &relay.public])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    application.reached.recv_timeout(LONG).unwrap();
    super::harness::signal(&sending, "INT");
    let summary = said(sending.wait_with_output().unwrap()).exits(1).json();
    assert_eq!((&summary["stopped"], &summary["unexpected"]), (&json!("interrupted"), &json!(0)));
}

#[test]
fn a_bad_configuration_does_not_start() {
    let installation = Installation::new("http://127.0.0.1:9");
    installation.write("relay.toml", "[oops]\n");
    let said = installation.relay(&["run"]).exits(1);
    assert!(said.err.contains("relay.toml:1:"), "{}", said.err);
    relay(&["run", "--config", "/nonexistent/relay.toml"]).exits(2);
}

#[test]
fn an_address_in_use_does_not_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let installation = Installation::new("http://127.0.0.1:9");
    let address = taken.local_addr().unwrap().to_string();
    installation.write("relay.toml", &installation.read("relay.toml").replace("127.0.0.1:0", &address));
    let said = installation.relay(&["run"]).exits(3);
    assert!(said.err.contains(&address), "{}", said.err);
}

/// The request in flight is waited for, until a second signal says that nobody wants to.
#[test]
fn the_second_signal_means_now() {
    let application = Application::start(Manner::Silent);
    let installation = Installation::new(&application.url);
    let mut relay = Running::start(&installation);
    let sending = binary()
        .args(["send", "github", "--config", &installation.config(), "--connect", &relay.public])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    application.reached.recv_timeout(LONG).unwrap();
    relay.signal("TERM");
    assert_eq!(relay.event("draining")["in_flight"], json!(1));
    relay.signal("TERM");
    assert_eq!(relay.ended(), 4);
    said(sending.wait_with_output().unwrap()).exits(1);
}

/// Somebody else than root, with a copy of the binary in a place that everybody reaches.
fn as_nobody(folder: &Path) -> Command {
    let copy = folder.join("dmz-relay");
    // By another process: a child that another test starts meanwhile would have this one's file open for writing, and nobody may
    // run a file that is ("text file busy").
    assert!(Command::new("cp").arg(binary().get_program()).arg(&copy).status().unwrap().success());
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(copy);
    command.uid(NOBODY).gid(NOBODY).env_clear().current_dir("/");
    command
}

const NOBODY: u32 = 65534;

/// A folder that root made, and files that root put back: the log has the command, it is right, and no restart is needed.
#[test]
fn a_store_that_belongs_to_somebody_else_is_told_with_the_command_that_helps() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped, needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (config, place) = (folder.path().join("relay.toml"), folder.path().join("store"));
    fs::create_dir(&place).unwrap();
    let text = format!(
        "[store]\nsqlite = {{ path = \"{}/relay.db\" }}\ndisk_reserve = \"0B\"\n[log]\nformat = \"json\"\n\
         [[listeners]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n\
         [upstreams.app]\nservers = [\"http://127.0.0.1:9\"]\n\
         [routes.a]\npath = \"/a\"\nverify.dangerously_none = true\nupstream = \"app\"\ndelivery = \"queue\"\n",
        place.display()
    );
    fs::write(&config, text).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    let own = |path: &Path, uid: u32| std::os::unix::fs::chown(path, Some(uid), Some(uid)).unwrap();
    // The folder; then the file in a folder that is right; then the log alone.
    let foreign: [&[&str]; 3] = [&["store"], &["store/relay.db", "store/relay.db-wal"], &["store/relay.db-wal"]];
    for foreign in foreign {
        for file in foreign.iter().map(|name| folder.path().join(name)) {
            if !file.exists() {
                fs::write(&file, "").unwrap();
            }
            own(&file, 0);
            if file.is_file() {
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
        let mut command = as_nobody(folder.path());
        let relay = command.args(["run", "--config"]).arg(&config).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut relay = relay.spawn().unwrap();
        let mut lines = BufReader::new(relay.stderr.take().unwrap()).lines();
        let mut line = |event: &str| {
            lines.find_map(|line| {
                let line: serde_json::Value = serde_json::from_str(&line.unwrap()).ok()?;
                (line["event"] == event).then_some(line)
            })
        };
        let failed = line("store_failed").unwrap();
        let detail = failed["detail"].as_str().unwrap();
        let shown = folder.path().join(foreign[0]);
        let words = format!("{} belongs to user 0 (mode ", shown.display());
        assert!(detail.contains(&words) && detail.contains("and the relay runs as user 65534"), "{detail}");
        let (_, command) = detail.split_once("run as root: ").unwrap();
        assert_eq!(command.matches(folder.path().to_str().unwrap()).count(), foreign.len(), "{command}");
        assert!(Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
        assert!(line("store_recovered").is_some(), "{command}");
        relay.kill().unwrap();
        relay.wait().unwrap();
        if foreign[0] == "store" {
            own(&place, NOBODY);
        }
    }
}

/// Whoever may not read the configuration is told so, and how to ask without it; another file is not taken in its place.
#[test]
fn a_configuration_that_may_not_be_read_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    let config = closed.join("relay.toml");
    fs::write(&config, "[admin]\naddress = \"127.0.0.1:1\"\n").unwrap();
    let mut command = binary();
    if rustix::process::geteuid().is_root() {
        // Root reads everything.
        command = as_nobody(folder.path());
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let output = command.args(["status", "--config"]).arg(&config).output().unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    for part in ["permission denied", "--admin", "DMZ_RELAY_ADMIN"] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

/// Roles by the user of the calling process; only root may start one as somebody else.
#[test]
fn each_caller_may_do_what_its_role_says_and_the_log_says_who_did_it() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let installation = Installation::new("http://127.0.0.1:9");
    if fs::metadata(installation.folder.path()).unwrap().uid() != 0 {
        eprintln!("skipped, needs root");
        return;
    }
    let text = installation.read("relay.toml");
    let roles = "[admin]\noperators = [\"user:4001\", \"group:4100\"]\nreaders = [\"user:4002\"]\n";
    installation.write("relay.toml", &text.replacen("[admin]\n", roles, 1));
    let running = Running::start(&installation);
    fs::set_permissions(installation.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = installation.path("admin.sock");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let call = |uid: u32, gid: u32, method: &str, path: &str| {
        let curl = Command::new("curl")
            .args(["-s", "-w", "\n%{http_code}", "-X", method, "--unix-socket", &socket])
            .arg(format!("http://localhost{path}"))
            .uid(uid)
            .gid(gid)
            .output()
            .expect("curl runs");
        String::from_utf8(curl.stdout).unwrap()
    };
    for (uid, gid, operator, reader) in
        [(4001, 4001, true, false), (4002, 4002, false, true), (4003, 4100, true, false), (4004, 4004, false, false)]
    {
        assert!(call(uid, gid, "GET", "/api/v1/status").ends_with("\n200"), "{uid}");
        let reload = call(uid, gid, "POST", "/api/v1/reload");
        assert_eq!(reload.ends_with("\n200"), operator, "{uid}: {reload}");
        assert_eq!(reload.contains("needs the role operator"), !operator, "{uid}: {reload}");
        let line = running.event("admin_action");
        let result = if operator { "done" } else { "refused" };
        assert_eq!((&line["uid"], &line["action"], &line["result"]), (&uid.into(), &"reload".into(), &result.into()));
        let body = call(uid, gid, "GET", "/api/v1/events/1a/body");
        assert_eq!(body.contains("needs the role reader"), !reader, "{uid}: {body}");
        assert_eq!(running.event("admin_action")["action"], "read_body");
    }
}

/// Standard error as the journal gives it to a unit: a stream socket that `JOURNAL_STREAM` names.
fn in_the_journal(arguments: &[&str], names: impl Fn(&Metadata) -> String) -> Vec<String> {
    let (journal, stderr) = UnixStream::pair().unwrap();
    let stderr = OwnedFd::from(stderr);
    let socket = fs::metadata(format!("/proc/self/fd/{}", stderr.as_raw_fd())).unwrap();
    let mut command = binary();
    command.args(arguments).env("JOURNAL_STREAM", names(&socket)).stdout(Stdio::null()).stderr(stderr);
    let mut child = command.spawn().unwrap();
    drop(command);
    let lines = BufReader::new(journal).lines().map(Result::unwrap).collect();
    assert_ne!(child.wait().unwrap().code(), Some(0));
    lines
}

#[test]
fn a_failed_start_is_an_error_in_the_journal_with_its_reason() {
    let installation = Installation::new("http://127.0.0.1:9");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let good = installation.read("relay.toml");
    let in_use = good.replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    let wrong = good.replace("provider = \"github\"", "provider = \"githup\"");
    let config = installation.config();
    let stream = |socket: &Metadata| format!("{}:{}", socket.dev(), socket.ino());
    for (text, flag, reason) in [
        (&wrong, "--poll", "routes.github.provider: there is no provider"),
        (&in_use, "--poll", "listener public: cannot listen on"),
        (&good, "--nonsense", "unexpected argument '--nonsense'"),
        (&wrong, "--format=json", "routes.github.provider: there is no provider"),
        (&in_use, "--format=json", "listener public: cannot listen on"),
    ] {
        installation.write("relay.toml", text);
        let arguments = ["run", "--config", &config, flag];
        let lines = in_the_journal(&arguments, stream);
        let is_error = |line: &&String| line.starts_with("<3>") && line.contains(reason);
        assert_eq!(lines.iter().filter(is_error).count(), 1, "{flag}: {lines:#?}");
        assert!(lines.iter().all(|line| line.starts_with('<')), "{flag}: {lines:#?}");
        // Redirected: the variable names another file.
        let lines = in_the_journal(&arguments, |socket| format!("{}:{}", socket.dev(), socket.ino() + 1));
        assert!(!lines.iter().any(|line| line.starts_with('<')), "{flag}: {lines:#?}");
    }
}
