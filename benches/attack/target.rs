//! What is attacked: a process of its own on a core of its own, and what it weighs.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use std::io::Write;

use rusqlite::{Connection, OpenFlags};

use super::phases::Phase;
use super::wire;

/// Ticks of the kernel's clock in a second, as every Linux has it.
const HERTZ: f64 = 100.0;

/// As many secrets as a route may have.
const MANY: usize = 16;

/// What a phase may change.
const MARKS: &[&str] = &["@limits@", "@route@", "@more@", "@http@", "@location@", "@verified@", "@server@", "@tables@"];

/// A folder with a certificate, a secret and a configuration for each of the three.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub certificate: Vec<u8>,
    pub secret: String,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = rcgen::generate_simple_self_signed(vec![wire::NAME.to_owned()]).unwrap();
        let (chain, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        let secret = data_encoding::HEXLOWER.encode(pair.signing_key.public_key_raw().get(..24).unwrap());
        let place = Self { folder, certificate: pair.cert.der().to_vec(), secret };
        place.write("crt.pem", &chain);
        place.write("key.pem", &key);
        place.write("both.pem", &(chain + &key));
        place.write("secret", &place.secret);
        for number in 1..MANY {
            place.write(&format!("secret-{number}"), &format!("{}-{number}", place.secret));
        }
        fs::create_dir(place.folder.path().join("logs")).unwrap();
        place
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        path
    }
}

/// A running one; it goes with its value.
pub struct Target {
    pub port: u16,
    /// Of the admin listener, where there is one.
    pub admin: u16,
    store: PathBuf,
    /// What the relay says its memory cannot exceed, in MiB.
    pub bound: Option<f64>,
    child: Child,
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Target {
    /// Starts it before the internal server at `inside`, with what a phase changes. `core`: the one that it has for itself.
    /// `patient`: nothing is timed out.
    pub fn start(
        name: &str,
        place: &Place,
        inside: u16,
        core: Option<usize>,
        patient: bool,
        phase: Option<&Phase>,
    ) -> Self {
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let (port, admin) = (free(), free());
        // Each start has a store of its own.
        let store = format!("store-{port}.db");
        let secrets = (1..MANY).map(|number| format!("{{ file = \"secret-{number}\" }}, ")).collect::<String>();
        let folder = place.folder.path();
        let key = data_encoding::BASE64.encode(place.secret.as_bytes());
        let configure = |name: &str, template: &str| {
            let short = if patient { "60s" } else { "5s" };
            let changes = phase.map_or(&[][..], |phase| phase.changes);
            let mut text = template.to_owned();
            for mark in MARKS {
                let change = changes.iter().find(|(of, _)| of == mark).map_or("", |(_, change)| *change);
                text = text.replace(mark, change);
            }
            let values = [
                ("@folder@", folder.to_str().unwrap()),
                ("@port@", &port.to_string()),
                ("@inside@", &inside.to_string()),
                ("@key@", &key),
                ("@short@", short),
                ("@admin@", &admin.to_string()),
                ("@store@", &store),
                ("@secrets@", &format!("{secrets}{{ file = \"secret\" }}")),
            ];
            let text = values.iter().fold(text, |text, (word, value)| text.replace(word, value));
            place.write(name, &text)
        };
        let mut bound = None;
        let mut words: Vec<PathBuf> = match name {
            "relay" => {
                let config = configure("relay.toml", include_str!("relay.toml"));
                bound = self::bound(&config);
                [
                    env!("CARGO_BIN_EXE_dmz-relay").into(),
                    "run".into(),
                    "--threads".into(),
                    "1".into(),
                    "--config".into(),
                    config,
                ]
                .into()
            }
            "nginx" => {
                let config = configure("nginx.conf", include_str!("nginx.conf"));
                ["nginx".into(), "-p".into(), folder.into(), "-e".into(), "stderr".into(), "-c".into(), config].into()
            }
            "haproxy" => {
                let config = configure("haproxy.cfg", include_str!("haproxy.cfg"));
                ["haproxy".into(), "-q".into(), "-db".into(), "-f".into(), config].into()
            }
            _ => panic!("no such target: {name}"),
        };
        if let Some(core) = core {
            words.splice(0..0, ["taskset".into(), "-c".into(), core.to_string().into()]);
        }
        let log = fs::File::create(folder.join("logs").join(name)).unwrap();
        let (program, arguments) = words.split_first().unwrap();
        let child = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut target = Self { port, admin, store: folder.join(&store), bound, child };
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = target.child.try_wait().unwrap();
            if ended.is_some() || began.elapsed() > Duration::from_secs(20) {
                panic!("{name} does not start: {}", fs::read_to_string(folder.join("logs").join(name)).unwrap());
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        target
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(Path::new("/proc").join(self.child.id().to_string()).join(name)).unwrap_or_default()
    }

    /// Seconds of CPU so far.
    pub fn cpu(&self) -> f64 {
        let stat = self.file("stat");
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / HERTZ
    }

    /// Genuine requests that its history knows; `None`: it has none.
    pub fn history(&self) -> Option<i64> {
        let store = Connection::open_with_flags(&self.store, OpenFlags::SQLITE_OPEN_READ_WRITE).ok()?;
        let genuine = "SELECT count(*) FROM history WHERE outcome IN ('delivered', 'accepted')";
        Some(store.query_row(genuine, [], |row| row.get(0)).unwrap())
    }

    /// Resident, in KiB: now, and at most so far.
    pub fn resident(&self) -> (f64, f64) {
        let status = self.file("status");
        let of = |name: &str| -> f64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.trim_matches([':', '\t', ' ', 'k', 'B']).parse().unwrap_or(0.0)
        };
        (of("VmRSS"), of("VmHWM"))
    }
}

/// What `check` says of the memory.
fn bound(config: &Path) -> Option<f64> {
    let check = Command::new(env!("CARGO_BIN_EXE_dmz-relay"))
        .args(["check", "--format", "json", "--config"])
        .arg(config)
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let said: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    said["memory"]["bytes"].as_f64().map(|bytes| bytes / 1024.0 / 1024.0)
}
