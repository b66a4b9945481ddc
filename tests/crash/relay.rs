//! The real binary: its folder, its configuration, and its life from start to kill.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::faults::Layer;

/// Far beyond what anything here takes.
pub const LONG: Duration = Duration::from_secs(120);

/// A folder with everything that a relay needs; it outlives many processes.
#[derive(Debug)]
pub struct Installation {
    folder: TempDir,
}

impl Installation {
    /// Without a configuration yet.
    pub fn new() -> Self {
        let installation = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(installation.store()).unwrap();
        for name in ["oktave", "dastra", "octolis"] {
            let path = installation.path(name);
            fs::write(&path, crate::senders::secret(name)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
        installation
    }

    /// Writes `relay.toml`: these routes before the application at `inside`, and `store` with its section's name.
    pub fn configure(&self, inside: &str, routes: &str, store: &str) {
        let admin = self.path("admin.sock");
        let text = format!(
            "[[listeners]]\nname = \"public\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n\
             trust_forwarded_from = [\"127.0.0.1\"]\n\
             [admin]\naddress = \"unix:{}\"\n[log]\nformat = \"json\"\n[limits]\ndrain_timeout = \"10s\"\n\
             {store}\n\
             [upstreams.inside]\nservers = [\"http://{inside}\"]\nejection = {{ after_failures = 0 }}\n\
             {routes}",
            admin.display()
        );
        fs::write(self.config(), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn place(&self) -> &Path {
        self.folder.path()
    }

    pub fn config(&self) -> PathBuf {
        self.path("relay.toml")
    }

    /// The folder of the store, and of nothing else.
    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    pub fn journal(&self) -> PathBuf {
        self.path("faults.journal")
    }

    /// A fresh layer over the store's folder.
    pub fn layer(&self) -> Layer {
        Layer::new(&self.store(), self.place())
    }

    /// Starts a relay and does not wait for it.
    pub fn spawn(&self, layer: Option<&Layer>) -> Relay {
        let mut command = binary();
        command.args(["run", "--threads", "2", "--config"]).arg(self.config());
        if let Some(layer) = layer {
            layer.wrap(&mut command);
        }
        Relay::spawn(command)
    }

    /// Starts a relay that must come up.
    #[track_caller]
    pub fn start(&self, layer: Option<&Layer>) -> Relay {
        let relay = self.spawn(layer);
        let address = relay.address();
        assert!(address.is_some(), "it does not start:\n{}", relay.log());
        relay
    }

    /// The value of a metric of the running relay, by its name and labels.
    #[track_caller]
    pub fn metric(&self, series: &str) -> f64 {
        let mut stream = UnixStream::connect(self.path("admin.sock")).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        let value = said.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {series} in {said}"))
    }

    /// Runs another command of the binary with this configuration.
    pub fn command(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = binary();
        command.args(arguments).arg("--config").arg(self.config()).stdout(Stdio::piped());
        let ran = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (ran.status.code().unwrap_or(-1), text(ran.stdout), text(ran.stderr))
    }
}

/// The binary, without anything of the environment that it would listen to.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dmz-relay"));
    for name in ["DMZ_RELAY_CONFIG", "NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "CREDENTIALS_DIRECTORY"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

#[derive(Debug, Default)]
struct Output {
    lines: Vec<String>,
    address: Option<String>,
    ended: bool,
}

/// One process. Dropping it kills it.
#[derive(Debug)]
pub struct Relay {
    child: Child,
    output: Arc<(Mutex<Output>, Condvar)>,
}

impl Relay {
    fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let output = Arc::new((Mutex::new(Output::default()), Condvar::new()));
        let filled = Arc::clone(&output);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut output = filled.0.lock().unwrap();
                if line.contains("\"event\":\"listening\"") {
                    let event: Value = serde_json::from_str(&line).unwrap();
                    output.address = event["address"].as_str().map(str::to_owned);
                }
                output.lines.push(line);
                filled.1.notify_all();
            }
            filled.0.lock().unwrap().ended = true;
            filled.1.notify_all();
        });
        Self { child, output }
    }

    fn until(&self, patience: Duration, condition: impl Fn(&Output) -> bool) -> bool {
        let output = self.output.0.lock().unwrap();
        let (output, _) = self.output.1.wait_timeout_while(output, patience, |output| !condition(output)).unwrap();
        condition(&output)
    }

    /// Where it listens; `None`: it ended before it did.
    #[track_caller]
    pub fn address(&self) -> Option<String> {
        let came = self.until(LONG, |output| output.ended || output.address.is_some());
        assert!(came, "it neither listens nor ends:\n{}", self.log());
        self.output.0.lock().unwrap().address.clone()
    }

    pub fn log(&self) -> String {
        self.output.0.lock().unwrap().lines.join("\n")
    }

    /// Waits until a line has one of these: the log is written a moment after the answer.
    #[track_caller]
    pub fn tells(&self, words: &[&str]) {
        let told = |output: &Output| output.lines.iter().any(|line| words.iter().any(|word| line.contains(word)));
        assert!(self.until(LONG, told), "nothing of {words:?} in:\n{}", self.log());
    }

    /// Whether it is still there.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end of a process that was told to end, or that will end by itself.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        let ended = self.until(LONG, |output| output.ended);
        assert!(ended, "it hangs (for {:?}):\n{}", began.elapsed(), self.log());
        self.child.wait().unwrap()
    }

    /// Gives it time to end by itself.
    pub fn ends_within(&self, time: Duration) -> bool {
        self.until(time, |output| output.ended)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.ended();
    }

    /// SIGTERM, and a clean end.
    #[track_caller]
    pub fn stop(&mut self) {
        let script = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// A panic is a bug, whatever the disk does.
    #[track_caller]
    pub fn did_not_panic(&self) {
        let log = self.log();
        assert!(!log.contains("panic"), "{log}");
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
