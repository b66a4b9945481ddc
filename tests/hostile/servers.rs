//! G2, with application servers of the field instead of ours: PHP's own, a WSGI server and a Rack server. They write names of fields
//! in upper case and fold what stands between the letters, so a name that looks foreign on the wire is a known one in there.
//!
//! A server that is not installed is skipped, and fails in CI.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{BOTH, LONG, Rig, Setup};
use crate::passing::{FIELDS, FORGED, MEMBERS, genuine};
use crate::recipes::Sender;

/// A server that answers with all that its application can read.
struct Server {
    name: &'static str,
    address: SocketAddr,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// `None` where it is not installed.
    fn start(name: &'static str, there: &[&str], program: &str, arguments: &[&str]) -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/servers");
        let installed = Command::new(there[0]).args(&there[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !installed.is_ok_and(|status| status.success()) {
            let missing = format!("{name} needs {program} and its libraries (.ci/run installs them)");
            assert!(std::env::var_os("CI").is_none(), "{missing}");
            println!("skipped, {missing}");
            return None;
        }
        // Both streams in one: which of them names the port differs.
        let script = "exec \"$0\" \"$@\" 2>&1";
        let mut child = Command::new("sh")
            .args(["-c", script, program])
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.by_ref().find_map(|line| {
            let line = line.unwrap();
            let rest = line.split_once("http://127.0.0.1:")?.1.to_owned();
            rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u16>().ok()
        });
        // Its log is read on, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let Some(port) = port else { panic!("{name} did not say where it listens") };
        Some(Self { name, address: SocketAddr::from(([127, 0, 0, 1], port)), child })
    }

    fn all() -> Vec<Self> {
        let php = || Self::start("php", &["php", "--version"], "php", &["-S", "127.0.0.1:0", "dump.php"]);
        let wsgi = || Self::start("wsgi", &["python3", "--version"], "python3", &["-B", "dump.py"]);
        let rack = || {
            Self::start(
                "rack",
                &["ruby", "-rrack", "-rpuma", "-e", "0"],
                "puma",
                &["-q", "-b", "tcp://127.0.0.1:0", "config.ru"],
            )
        };
        [php(), wsgi(), rack()].into_iter().flatten().collect()
    }

    /// What the application reads of a request that no relay has seen.
    async fn directly(&self, fields: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head =
            format!("POST /?a=1 HTTP/1.1\r\nHost: app\r\nConnection: close\r\n{fields}Content-Length: 2\r\n\r\n{{}}");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// The application behind each reads the webhook's own fields, the relay's, and nothing else that a sender wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_server_that_folds_names_reads_nothing_forged() {
    let servers = Server::all();
    let routes: String = servers
        .iter()
        .map(|Server { name, address, .. }| {
            format!(
                "[upstreams.{name}]\nservers = [\"http://{address}\"]\n[routes.{name}]\npath = \"/hooks/{name}\"\n\
                 provider = \"github\"\nsecrets = [{{ file = \"keys/github.0\" }}]\nupstream = \"{name}\"\n\
                 answer = \"upstream\"\nupstream_query = {{ \"api-key\" = \"configured\" }}\n"
            )
        })
        .collect();
    // Something has to be there where none is installed.
    let spare = "[routes.spare]\npath = \"/spare\"\nverify.dangerously_none = true\nupstream = \"app\"\n";
    let setup = Setup::routes(&format!("{routes}{spare}")).limits("max_headers = 250\nmax_head = \"64KiB\"");
    let sender = Sender::of("github");
    let [(name, secret), _] = sender.files();
    let rig = Rig::start(setup.file(&name, secret)).await;
    let mut number = 0;
    for server in &servers {
        // Without the relay the forgery is read: by this the test knows that it looks in the right place.
        let read = server.directly(&format!("Proxy: {FORGED}\r\nX-Forwarded-User: {FORGED}\r\n")).await;
        assert!(read.contains("HTTP_X_FORWARDED_USER") && read.contains(FORGED), "{}: {read}", server.name);

        let path = format!("/hooks/{}", server.name);
        for protocol in BOTH {
            number += 1;
            let call = genuine(&sender, &path, "", number).field("x-github-event", "push");
            let call = FIELDS.iter().fold(call, |call, name| call.field(&name.to_lowercase(), FORGED));
            check(server, rig.send(protocol, &call).await.text());
            for separator in ["&", ";"] {
                number += 1;
                let members: String = MEMBERS.iter().map(|member| format!("{separator}{member}={FORGED}")).collect();
                let call = genuine(&sender, &path, &members, number).field("x-github-event", "push");
                check(server, rig.send(protocol, &call).await.text());
            }
        }
    }
    rig.finish().await;
}

fn check(server: &Server, said: &str) {
    let name = server.name;
    assert!(!said.contains(FORGED), "{name}: {said}");
    let read: Value = serde_json::from_str(said).unwrap_or_else(|error| panic!("{name}: {error}: {said}"));
    let env = &read["env"];
    for (variable, value) in [
        ("REQUEST_METHOD", "POST"),
        ("HTTP_X_GITHUB_EVENT", "push"),
        ("HTTP_X_FORWARDED_FOR", "127.0.0.1"),
        ("HTTP_RELAY_ROUTE", name),
    ] {
        assert_eq!(env[variable], value, "{name}: {variable}: {said}");
    }
    assert!(env["HTTP_RELAY_REPLAY"].is_null() && env["HTTP_COOKIE"].is_null(), "{name}: {said}");
    let key = &read["query"]["api-key"];
    let key = if key.is_array() { &key[0] } else { key };
    assert_eq!(*key, "configured", "{name}: {said}");
    let members: Vec<&String> = read["query"].as_object().unwrap().keys().collect();
    assert_eq!(members.len(), 3, "{name}: {members:?}");
}
