//! A second relay, as a process of its own, so that it can be killed.

use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;

use super::DemoError;
use super::act::Kept;
use super::inside::Inside;
use super::journal::{Journal, journal};
use super::play;
use super::stage::Stage;
use crate::cli::sender::{Request, Sender, Trust};
use crate::control::admin::client::Caller;
use crate::runtime::snapshot::AdminAddress;

/// For what takes a second or two.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two questions to the relay.
const LOOK: Duration = Duration::from_millis(20);
/// What a service manager may have given to this process, and not to that one.
const NOT_PASSED_ON: [&str; 7] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_PID",
    "CREDENTIALS_DIRECTORY",
    "DMZ_RELAY_CONFIG",
    "DMZ_RELAY_ADMIN",
];

/// This program with these arguments.
pub(super) fn this_program() -> Result<Command, DemoError> {
    let program = std::env::current_exe().map_err(|error| DemoError::Io("this program's file", error))?;
    let mut command = Command::new(program);
    for name in NOT_PASSED_ON {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    Ok(command)
}

/// The relay, while it runs. It is killed when this is dropped.
pub(super) struct Process {
    config: PathBuf,
    admin: PathBuf,
    trust: Trust,
    child: Option<Child>,
    journal: Journal,
    sender: Option<Sender>,
}

impl Process {
    /// Of the stage's second configuration.
    pub(super) fn of(stage: &Stage) -> Self {
        let (config, admin) = (stage.file("second.toml"), stage.file("second.sock"));
        Self { config, admin, trust: stage.trust.clone(), child: None, journal: journal().1, sender: None }
    }

    /// Starts it, and gives the time until it listened.
    pub(super) async fn start(&mut self) -> Result<Duration, DemoError> {
        let failed = |error| DemoError::Io("a second relay", error);
        let began = Instant::now();
        let mut command = this_program()?;
        command.args(["run", "--threads", "2", "--config"]).arg(&self.config);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(failed)?;
        let (mut tap, journal) = journal();
        if let Some(mut log) = child.stderr.take() {
            // It ends with the process.
            std::thread::spawn(move || io::copy(&mut log, &mut tap));
        }
        self.child = Some(child);
        self.journal = journal;
        let line = self.journal.find(|line| line.get("event") == "listening").await;
        let address: Option<SocketAddr> = line.and_then(|line| line.get("address").parse().ok());
        let address = address.ok_or_else(|| failed(io::ErrorKind::TimedOut.into()))?;
        self.sender = Some(play::sender_to(address, &self.trust)?);
        Ok(began.elapsed())
    }

    /// `kill -9`. Gives whether the process was ended by that.
    pub(super) fn kill(&mut self) -> bool {
        let Some(mut child) = self.child.take() else { return false };
        child.kill().is_ok() && child.wait().is_ok_and(|status| status.signal() == Some(9))
    }

    /// Sends a request, and finds what the log says of it.
    pub(super) async fn send(&mut self, path: &'static str, request: Request) -> Result<Kept, DemoError> {
        let Some(sender) = &mut self.sender else {
            return Err(DemoError::Io("a second relay", io::ErrorKind::NotConnected.into()));
        };
        let reply = sender.send(&request).await.map_err(DemoError::Send)?;
        let request_id = reply.request_id.unwrap_or_default();
        let line = self.journal.of_request(&request_id).await;
        let line = line.ok_or_else(|| DemoError::NoLogLine(request_id.clone()))?;
        let reason = line.get("reason");
        let verdict = if reason.is_empty() { line.get("outcome") } else { reason }.to_owned();
        Ok(Kept { path, status: reply.status, verdict, request_id, arrived: 0, byte_for_byte: false, request })
    }

    /// Whether a connection to it is refused.
    pub(super) async fn is_gone(&mut self, request: &Request) -> bool {
        match &mut self.sender {
            Some(sender) => sender.send(request).await.is_err(),
            None => true,
        }
    }

    /// How many requests wait for delivery; `None` when it does not say.
    pub(super) async fn waiting(&self) -> Option<usize> {
        let mut caller = Caller::new(AdminAddress::Unix(self.admin.clone()));
        let answer = caller.ask(Method::GET, "/api/v1/events?state=waiting", PATIENCE).await.ok()?;
        let page: Value = serde_json::from_slice(&answer.body).ok()?;
        Some(page.get("events")?.as_array()?.len())
    }

    /// Waits until nothing waits any more; false when it does not come to that.
    pub(super) async fn delivers_all(&self) -> bool {
        let looking = async {
            while self.waiting().await != Some(0) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.is_ok()
    }

    /// Lets the application listen again, and waits until everything is delivered.
    pub(super) async fn delivers_to(&self, application: &mut Inside) -> Result<(bool, Duration), DemoError> {
        let began = Instant::now();
        application.start_again()?;
        Ok((self.delivers_all().await, began.elapsed()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
