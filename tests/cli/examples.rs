//! `examples`: each configuration is checked, started and sent a genuine request; the application checks `sign_with`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::harness::{Application, CANARY, Installation, Manner, Running, lines, relay};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// The example in a folder of its own: at a port of the kernel's choice, with its application at `upstream`, and with
/// throw-away files in every place that it names.
fn installed(example: &str, upstream: &str) -> Installation {
    let installation = Installation::new(upstream);
    let mut text = fs::read_to_string(folder().join(example)).unwrap();
    for host in ["10.0.1.20", "10.0.1.21", "10.0.1.30"] {
        text = text.replace(&format!("http://{host}:8080"), upstream);
    }
    // One application, once.
    text = text.replace(&format!(", \"{upstream}\""), "");
    let places = [
        ("[::]:443", "127.0.0.1:0".to_owned()),
        ("/run/dmz-relay/admin.sock", installation.path("admin.sock")),
        ("/var/lib/dmz-relay/relay.db", installation.path("relay.db")),
        ("certs/relay", installation.path("relay")),
    ];
    for (shown, place) in places {
        text = text.replace(shown, &place);
    }
    fs::create_dir(installation.path("secrets")).unwrap();
    for secret in text.split("file = \"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        installation.secret(secret, &format!("{CANARY}-throw-away-of-an-example"));
    }
    installation.write("relay.toml", &format!("[log]\nformat = \"json\"\n\n{text}"));
    installation
}

fn route(example: &str) -> String {
    let text = fs::read_to_string(folder().join(example)).unwrap();
    text.split("[routes.").nth(1).unwrap().split(']').next().unwrap().to_owned()
}

#[test]
fn every_example_is_checked_started_and_takes_a_genuine_request() {
    let mut tried = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let example = entry.unwrap().file_name().into_string().unwrap();
        if !example.ends_with(".toml") {
            continue;
        }
        let application = Application::start(Manner::Prompt);
        let installation = installed(&example, &application.url);
        let said = installation.relay(&["check"]).exits(0);
        // The throw-away stores lie on whatever disk there is, and ask for less of it than the files that are shown.
        assert!(!said.err.contains("error"), "{example}: {}", said.err);
        let running = Running::start(&installation);
        let route = route(&example);
        let sent = installation.relay(&["send", &route, "--connect", &running.public, "--wait", "60"]);
        sent.exits(0);
        assert_eq!(application.arrived().len(), 1, "{example}");
        let forged = installation.relay(&["send", &route, "--connect", &running.public, "--tamper"]);
        forged.exits(0);
        assert_eq!(application.arrived().len(), 1, "{example}: the forged one went inward");
        let page = fs::read_to_string(folder().join("README.md")).unwrap();
        assert!(page.contains(&format!("[{example}]({example})")), "{example} is not on the page");
        tried += 1;
    }
    assert!(tried >= 4, "{tried}");
}

/// The example of an application, as a process.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_application_takes_what_the_relay_signed_and_nothing_else() {
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI has python3");
        println!("skipped, needs python3");
        return;
    }
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), format!("{CANARY}-throw-away-of-an-example\n")).unwrap();
    let mut child = Command::new("python3")
        .args(["-B", folder().join("application.py").to_str().unwrap(), "127.0.0.1:0"])
        .env("SECRET_FILE", secret.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = lines(child.stdout.take().unwrap());
    let _process = Process(child);
    let address = said.recv().unwrap().strip_prefix("listening on ").unwrap().to_owned();

    let installation = installed("failover.toml", &format!("http://{address}"));
    let running = Running::start(&installation);
    let sent = relay(&["send", "stripe", "--config", &installation.config(), "--connect", &running.public]).exits(0);
    assert!(sent.out.ends_with("delivered: the application took it\n"), "{}", sent.out);
    let done = said.recv().unwrap();
    assert!(done.starts_with("/hooks/stripe: ") && done.ends_with("attempt 1"), "{done}");

    // Whoever reaches the application beside the relay has no signature, or an old one.
    for fields in ["", "webhook-id: a\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,AAAA\r\n"] {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}Content-Length: 2\r\n\r\n{{}}")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
}
