//! Configurations, certificates, an application behind the relay, and the binary itself.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Stands in every secret of every test, and never in an output.
pub(super) const CANARY: &str = "canary-7c1f9e";
/// A line of each private key that a test made: it never stands in an output either.
static PRIVATE_KEYS: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Long enough for a loaded machine; nothing waits that long when it works.
pub(super) const LONG: Duration = Duration::from_secs(120);

/// What a command said.
pub(super) struct Said {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Said {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {}{}", self.out, self.err))
    }

    /// Fails with everything that was said.
    #[track_caller]
    pub(super) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
}

/// What the binary would listen to.
const OF_THE_ENVIRONMENT: [&str; 8] = [
    "DMZ_RELAY_ADMIN",
    "DMZ_RELAY_CONFIG",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "CREDENTIALS_DIRECTORY",
    "SYSTEMD_UNIT_PATH",
    "JOURNAL_STREAM",
];

/// The binary, without anything of the environment that it would listen to.
pub(super) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dmz-relay"));
    for name in OF_THE_ENVIRONMENT {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(super) fn relay(arguments: &[&str]) -> Said {
    said(binary().args(arguments).output().expect("the binary runs"))
}

/// Runs a command that reads from standard input.
pub(super) fn relay_reading(arguments: &[&str], input: &[u8]) -> Said {
    let mut command = binary();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    child.stdin.take().expect("piped").write_all(input).expect("it reads");
    said(child.wait_with_output().expect("it ends"))
}

pub(super) fn said(output: Output) -> Said {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let said = Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) };
    harmless(&said.out);
    harmless(&said.err);
    said
}

#[track_caller]
pub(super) fn harmless(text: &str) {
    assert!(!text.contains(CANARY), "a secret was printed:\n{text}");
    let keys = PRIVATE_KEYS.lock().expect("not poisoned").clone();
    assert!(!keys.iter().any(|line| text.contains(line)), "a private key was printed:\n{text}");
}

/// The second line of the PEM text: the first of every key is alike.
fn note_private_key(pem: &str) {
    let line = pem.lines().nth(2).expect("three lines and more").to_owned();
    PRIVATE_KEYS.lock().expect("not poisoned").push(line);
}

/// A folder with an installation: certificate, secrets and configuration.
pub(super) struct Installation {
    pub(super) folder: TempDir,
}

impl Installation {
    /// Three routes, on a kernel-chosen port, with their application at `upstream`.
    pub(super) fn new(upstream: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let installation = Self { folder };
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        installation.write("relay.crt", &made.cert.pem());
        let key = made.signing_key.serialize_pem();
        note_private_key(&key);
        installation.secret("relay.key", &key);
        installation.secret("github", &format!("{CANARY}-github-secret"));
        installation.secret("stripe", &format!("whsec_{CANARY}-stripe-secret"));
        installation.secret("octolis", &format!("{CANARY}-octolis-key"));
        let text = installation.base(upstream) + ROUTES;
        installation.write("relay.toml", &text);
        installation
    }

    fn base(&self, upstream: &str) -> String {
        format!(
            "[[listeners]]\nname = \"public\"\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificates = [{{ chain = \"relay.crt\", key = \"relay.key\" }}] }}\n\
             [admin]\naddress = \"unix:{}\"\n[log]\nformat = \"json\"\n\
             [limits]\ndrain_timeout = \"30s\"\n\
             [upstreams.application]\nservers = [\"{upstream}\"]\n",
            self.path("admin.sock")
        )
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("text").to_owned()
    }

    pub(super) fn config(&self) -> String {
        self.path("relay.toml")
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("readable")
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("writable");
    }

    pub(super) fn secret(&self, name: &str, text: &str) {
        let path = PathBuf::from(self.path(name));
        fs::write(&path, text).expect("writable");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("ours");
    }

    /// A command with this installation's configuration.
    pub(super) fn relay(&self, arguments: &[&str]) -> Said {
        relay(&[arguments, &["--config", &self.config()]].concat())
    }
}

const ROUTES: &str = "
[routes.github]
path = \"/hooks/github\"
provider = \"github\"
secrets = [{ file = \"github\" }]
upstream = \"application\"

[routes.stripe]
path = \"/hooks/stripe\"
provider = \"stripe\"
secrets = [{ file = \"stripe\" }]
upstream = \"application\"

[routes.octolis]
path = \"/hooks/octolis\"
provider = \"octolis\"
headers = { \"X-Tenant\" = [\"north\"] }
secrets = [{ file = \"octolis\" }]
upstream = \"application\"
";

/// A running relay. Its log is read by a thread; dropping it kills it.
pub(super) struct Running {
    child: Child,
    lines: Receiver<String>,
    pub(super) public: String,
}

impl Running {
    pub(super) fn start(installation: &Installation) -> Self {
        let mut command = binary();
        command.args(["run", "--threads", "2", "--config", &installation.config()]);
        Self::spawn(command)
    }

    /// With the credentials of this folder, as systemd passes them.
    pub(super) fn with_credentials(installation: &Installation, folder: &str) -> Self {
        let mut command = binary();
        command.args(["run", "--threads", "2", "--config", &installation.config()]);
        command.env("CREDENTIALS_DIRECTORY", folder);
        Self::spawn(command)
    }

    /// With this socket, as systemd passes it for `systemd:public`.
    pub(super) fn passed(installation: &Installation, socket: &TcpListener) -> Self {
        let script =
            "exec 3<&0 0</dev/null; export LISTEN_FDS=1 LISTEN_FDNAMES=public LISTEN_PID=$$; exec \"$0\" \"$@\"";
        let mut command = Command::new("bash");
        command.args(["-c", script, env!("CARGO_BIN_EXE_dmz-relay")]);
        command.args(["run", "--threads", "2", "--config", &installation.config()]);
        for name in OF_THE_ENVIRONMENT {
            command.env_remove(name);
        }
        command.stdin(OwnedFd::from(socket.try_clone().expect("a descriptor")));
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let lines = lines(child.stderr.take().expect("piped"));
        let mut running = Self { child, lines, public: String::new() };
        running.public = running.event("listening")["address"].as_str().expect("an address").to_owned();
        running
    }

    /// The next line with this event.
    #[track_caller]
    pub(super) fn event(&self, event: &str) -> Value {
        let until = Instant::now() + LONG;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no line with event {event}"));
            harmless(&line);
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a log line: {line}"));
            if line["event"] == event {
                return line;
            }
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for the end and gives the exit code.
    pub(super) fn ended(&mut self) -> i32 {
        // Ends with the log, which ends with the process.
        while let Ok(line) = self.lines.recv_timeout(LONG) {
            harmless(&line);
        }
        self.child.wait().expect("it ends").code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines as they come.
pub(super) fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    lines
}

pub(super) fn signal(child: &Child, name: &str) {
    // The shell's own: a minimal system has no kill(1).
    let script = format!("kill -{name} {}", child.id());
    let sent = Command::new("sh").args(["-c", &script]).status().expect("a shell runs");
    assert!(sent.success());
}

/// A request as the application got it.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

/// How the application answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Prompt,
    /// It reads, and never says a word.
    Silent,
}

/// An internal application on plain sockets. Its threads end with the test process.
pub(super) struct Application {
    pub(super) url: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    /// One for each request, when it has been read.
    pub(super) reached: Receiver<()>,
}

impl Application {
    pub(super) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let (reach, reached) = channel();
        let seen = Arc::clone(&arrived);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, reach) = (Arc::clone(&seen), reach.clone());
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    while let Some(request) = read_request(&mut stream) {
                        seen.lock().expect("not poisoned").push(request);
                        let _ = reach.send(());
                        let answer: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 6\r\n\r\ninside";
                        if manner == Manner::Prompt && stream.get_mut().write_all(answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, arrived, reached }
    }

    pub(super) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().expect("not poisoned").clone()
    }
}

pub(super) fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Arrived> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some(Arrived { head, body })
}

/// Whether a folder holds nothing.
pub(super) fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).expect("readable").next().is_none()
}
