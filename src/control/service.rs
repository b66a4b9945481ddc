//! The service manager's side: readiness, reloads, the watchdog, and sockets that were opened before we started.
//!
//! All of it does nothing when the process was not started by systemd.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

/// Tells the service manager what the process does.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    managed: bool,
    watchdog: Option<Duration>,
}

impl Service {
    /// Reads the environment that the service manager set.
    pub fn detect() -> Self {
        let managed = std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty());
        Self { managed, watchdog: sd_notify::watchdog_enabled().filter(|limit| managed && !limit.is_zero()) }
    }

    /// A process that nobody manages: tests, the demo.
    pub fn unmanaged() -> Self {
        Self { managed: false, watchdog: None }
    }

    /// Every listener accepts; `status` is the line that `systemctl status` shows.
    pub fn ready(&self, status: &str) {
        self.notify(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// A reload began; [`Service::ready`] must follow whatever comes of it. The monotonic time lets systemd 253 and
    /// later tell this reload from an earlier one.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.notify(&[NotifyState::Reloading, now]),
            Err(_) => self.notify(&[NotifyState::Reloading]),
        }
    }

    /// No new connections are accepted. Gives the drain its time, so that the manager does not kill it early.
    pub fn stopping(&self, drain: Duration) {
        let micros = u32::try_from(drain.as_micros()).unwrap_or(u32::MAX);
        let status = format!("draining for up to {} s", drain.as_secs());
        self.notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros), NotifyState::Status(&status)]);
    }

    /// Pings the watchdog for as long as `probe` says that the process works; returns at once where there is no
    /// watchdog.
    ///
    /// The ping is sent from the event loop, after a `probe` that went through whatever must be alive (for instance one
    /// task on each worker). A blocked loop, a probe that hangs and a probe that says no all mean: no ping, and the
    /// manager restarts the process.
    pub async fn watchdog<P, F>(&self, probe: P)
    where
        P: Fn() -> F,
        F: Future<Output = bool>,
    {
        let Some(limit) = self.watchdog else { return };
        let interval = limit / 2;
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if matches!(tokio::time::timeout(interval, probe()).await, Ok(true)) {
                self.notify(&[NotifyState::Watchdog]);
            }
        }
    }

    fn notify(&self, state: &[NotifyState<'_>]) {
        if self.managed {
            // A manager that does not listen is not our failure: the relay works on.
            let _ = sd_notify::notify(state);
        }
    }
}

/// A socket that the service manager opened, under its `FileDescriptorName`.
#[derive(Debug)]
pub struct InheritedSocket {
    /// From the `.socket` unit; `unknown` where it names none.
    pub name: String,
    /// Not yet in non-blocking mode.
    pub listener: TcpListener,
}

/// Takes over the sockets that the service manager passed (`LISTEN_FDS`). Several sockets may have one name.
///
/// To be called once, first thing in `main`: it removes the variables, so that no child process takes the sockets for
/// its own, and the environment may not change once there are threads.
pub fn inherited_sockets() -> io::Result<Vec<InheritedSocket>> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut passed = ListenFd::from_env();
    (0..passed.len())
        .filter_map(|index| {
            let name = socket_name(&names, index);
            match passed.take_tcp_listener(index) {
                Ok(listener) => Some(Ok(InheritedSocket { name, listener: listener? })),
                Err(error) => Some(Err(io::Error::new(error.kind(), format!("passed socket `{name}`: {error}")))),
            }
        })
        .collect()
}

fn socket_name(names: &str, index: usize) -> String {
    names.split(':').nth(index).filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::process::{Command, Output};

    /// Runs one of the ignored tests below in a process of its own, whose environment is ours to set.
    fn in_child(test: &str, environment: &[(&str, &str)]) -> Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("control::service::tests::{test}"), "--ignored", "--nocapture"])
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }

    fn manager() -> (tempfile::TempDir, UnixDatagram, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let path = path.to_str().unwrap().to_owned();
        (folder, socket, path)
    }

    fn receive(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    #[ignore = "runs as a child of the test below"]
    fn child_lives_a_life() {
        let service = Service::detect();
        service.ready("2 listeners");
        service.reloading();
        service.ready("reloaded");
        service.stopping(Duration::from_secs(30));
    }

    #[test]
    fn the_manager_hears_of_every_stage() {
        let (_folder, socket, path) = manager();
        let output = in_child("child_lives_a_life", &[("NOTIFY_SOCKET", &path)]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(receive(&socket), "READY=1\nSTATUS=2 listeners\n");
        let reloading = receive(&socket);
        assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
        assert_eq!(receive(&socket), "READY=1\nSTATUS=reloaded\n");
        let stopping = receive(&socket);
        assert_eq!(stopping, "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000\nSTATUS=draining for up to 30 s\n");
    }

    #[test]
    #[ignore = "runs as a child of the test below"]
    fn child_pings_until_it_is_ill() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let asked = std::cell::Cell::new(0);
        let probe = || {
            asked.set(asked.get() + 1);
            let healthy = asked.get() <= 2;
            async move { healthy }
        };
        let service = Service::detect();
        let ill_for_a_while = async {
            while asked.get() < 5 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        runtime.block_on(async {
            tokio::select! {
                () = service.watchdog(probe) => {}
                () = ill_for_a_while => {}
            }
        });
    }

    #[test]
    fn a_watchdog_ping_needs_a_healthy_probe() {
        let (_folder, socket, path) = manager();
        let environment = [("NOTIFY_SOCKET", path.as_str()), ("WATCHDOG_USEC", "40000")];
        let output = in_child("child_pings_until_it_is_ill", &environment);
        assert!(output.status.success(), "{output:?}");
        assert_eq!([receive(&socket), receive(&socket)], ["WATCHDOG=1\n", "WATCHDOG=1\n"]);
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0; 64]).is_err(), "an ill process must not ping");
    }

    #[tokio::test]
    async fn without_a_manager_nothing_happens() {
        let service = Service::unmanaged();
        service.ready("x");
        service.watchdog(|| async { true }).await;
    }

    #[test]
    #[ignore = "runs as a child of the test below"]
    fn child_takes_its_socket() {
        let sockets = inherited_sockets().unwrap();
        let [socket] = &sockets[..] else { panic!("one socket expected: {sockets:?}") };
        println!("took {} at {}", socket.name, socket.listener.local_addr().unwrap().port());
        assert!(inherited_sockets().unwrap().is_empty(), "taken once");
        assert!(std::env::var_os("LISTEN_FDS").is_none());
    }

    #[test]
    fn a_passed_socket_is_taken_over_with_its_name() {
        use std::os::fd::AsRawFd;
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
        listener.listen(8).unwrap();
        let port = listener.local_addr().unwrap().as_socket().unwrap().port();
        // A shell puts it where systemd would: at descriptor 3.
        listener.set_cloexec(false).unwrap();
        let test = std::env::current_exe().unwrap();
        let script = format!(
            "exec 3<&{fd}; export LISTEN_FDS=1 LISTEN_FDNAMES=public LISTEN_PID=$$; \
             exec '{test}' --exact control::service::tests::child_takes_its_socket --ignored --nocapture",
            fd = listener.as_raw_fd(),
            test = test.display()
        );
        let output = Command::new("/bin/bash").args(["-c", &script]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!("took public at {port}")), "{output:?}");
        assert!(output.status.success());
    }

    #[test]
    fn sockets_without_a_name_are_unknown() {
        assert_eq!(socket_name("public:admin", 1), "admin");
        assert_eq!(socket_name("public:", 1), "unknown");
        assert_eq!(socket_name("", 0), "unknown");
    }
}
