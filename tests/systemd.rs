//! The shipped units: systemd accepts them, finds them tight, and they agree with the documents.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Highest exposure of the unit alone and with passed sockets, in tenths (`systemd-analyze security --threshold`).
const EXPOSURE: u32 = 15;
const EXPOSURE_WITH_SOCKET: u32 = 11;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shipped(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The units as installed, but for the path of the binary, which is here instead of in /usr/bin.
struct Installed(tempfile::TempDir);

impl Installed {
    fn new(with_socket: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = shipped("systemd/dmz-relay.service");
        assert!(service.contains("ExecStart=/usr/bin/dmz-relay "));
        let service = service.replace("=/usr/bin/dmz-relay ", &format!("={} ", binary().display()));
        std::fs::write(folder.path().join("dmz-relay.service"), service).unwrap();
        if with_socket {
            std::fs::write(folder.path().join("dmz-relay.socket"), shipped("systemd/dmz-relay.socket")).unwrap();
            let drop_in = folder.path().join("dmz-relay.service.d");
            std::fs::create_dir(&drop_in).unwrap();
            std::fs::write(drop_in.join("socket.conf"), shipped("systemd/dmz-relay.service.d/socket.conf")).unwrap();
        }
        Self(folder)
    }

    fn unit(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_dmz-relay"))
}

/// `None` where the tool is not installed; there, CI fails instead.
fn analyze(arguments: &[&str], unit: &Path) -> Option<Output> {
    match Command::new("systemd-analyze").args(arguments).arg(unit).output() {
        Ok(output) => Some(output),
        Err(error) if std::env::var_os("CI").is_some() => panic!("CI needs systemd-analyze: {error}"),
        Err(_) => {
            println!("skipped, needs systemd-analyze");
            None
        }
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn systemd_accepts_the_units() {
    for (with_socket, unit) in [(false, "dmz-relay.service"), (true, "dmz-relay.service"), (true, "dmz-relay.socket")] {
        let installed = Installed::new(with_socket);
        let Some(output) = analyze(&["verify", "--man=no", "--recursive-errors=no"], &installed.unit(unit)) else {
            return;
        };
        let said = text(&output);
        assert!(output.status.success() && said.trim().is_empty(), "{unit}: {said}");
    }
}

#[test]
fn systemd_finds_the_units_tight() {
    for (with_socket, threshold) in [(false, EXPOSURE), (true, EXPOSURE_WITH_SOCKET)] {
        let installed = Installed::new(with_socket);
        let threshold = format!("--threshold={threshold}");
        let arguments = ["security", "--offline=true", "--no-pager", &threshold];
        let Some(output) = analyze(&arguments, &installed.unit("dmz-relay.service")) else { return };
        assert!(output.status.success(), "with socket: {with_socket}\n{}", text(&output));
    }
}

/// The values of one key, comments left out.
fn values<'u>(unit: &'u str, key: &'u str) -> impl Iterator<Item = &'u str> {
    unit.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix('='))
}

#[test]
fn the_operators_document_names_every_path_and_flag() {
    let (service, document) = (shipped("systemd/dmz-relay.service"), shipped("docs/operating.md"));
    let start: Vec<_> = values(&service, "ExecStart").collect();
    assert_eq!(start, ["/usr/bin/dmz-relay run --config /etc/dmz-relay/relay.toml"]);
    for word in start[0].split(' ').chain(["/var/lib/dmz-relay", "/run/dmz-relay", "LoadCredential", "systemd:public"])
    {
        assert!(document.contains(word), "docs/operating.md does not name {word}");
    }
    for file in
        ["dmz-relay.service", "dmz-relay.socket", "dmz-relay.service.d/socket.conf", "sysusers.conf", "tmpfiles.conf"]
    {
        assert!(document.contains(&format!("systemd/{file}")), "docs/operating.md does not name {file}");
        shipped(&format!("systemd/{file}"));
    }
}

#[test]
fn service_socket_and_drop_in_agree() {
    let service = shipped("systemd/dmz-relay.service");
    let socket = shipped("systemd/dmz-relay.socket");
    let drop_in = shipped("systemd/dmz-relay.service.d/socket.conf");
    assert_eq!(values(&service, "Type").collect::<Vec<_>>(), ["notify"], "READY=1 and RELOADING=1 are sent");
    // The command waits for the outcome, so that a bad file fails `systemctl reload`; a signal could not.
    let reload: Vec<_> = values(&service, "ExecReload").collect();
    assert_eq!(reload, ["/usr/bin/dmz-relay reload --config /etc/dmz-relay/relay.toml"]);
    assert_eq!(values(&socket, "FileDescriptorName").collect::<Vec<_>>(), ["public"]);
    assert!(socket.contains("systemd:public"), "the address that uses the socket is named beside it");
    assert_eq!(values(&drop_in, "CapabilityBoundingSet").collect::<Vec<_>>(), [""]);
    assert!(values(&service, "User").eq(["dmz-relay"]));
    assert!(shipped("systemd/sysusers.conf").contains("u dmz-relay "));
}
