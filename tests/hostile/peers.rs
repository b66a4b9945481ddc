//! The same bytes at nginx and HAProxy, from the system's packages and with their defaults, in front of the same kind of
//! recording server. For comparison only, and only when asked: `HOSTILE_PEERS=write cargo test --test hostile peers` writes
//! the table of docs/threat-model.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use crate::harness::{Rig, eventually};
use crate::table::{Case, all, behind, setup};

/// What others cannot judge: signatures, limits, routes and tenants of the relay's own.
const OURS: [u16; 9] = [11, 12, 14, 18, 23, 28, 29, 56, 74];

/// An internal server that answers every head with success, whatever it is, and counts those that are a row's.
struct Recorder {
    address: SocketAddr,
    heads: Arc<AtomicUsize>,
}

impl Recorder {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, heads) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let counted = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                        if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
                            return;
                        }
                    }
                    let behind = String::from_utf8_lossy(&head).to_lowercase().contains("x-behind");
                    counted.fetch_add(usize::from(!behind), Ordering::SeqCst);
                    let _ =
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
                    // What is still to come is read and dropped, or its sender would see a reset before the answer.
                    let _ =
                        timeout(Duration::from_millis(200), tokio::io::copy(&mut stream, &mut tokio::io::sink())).await;
                });
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> usize {
        self.heads.load(Ordering::SeqCst)
    }
}

/// A proxy of another make; dropping it ends it.
struct Other {
    child: Child,
    address: SocketAddr,
    app: Recorder,
    _folder: TempDir,
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago: neither proxy tells which one the kernel chose.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn nginx(folder: &Path, address: SocketAddr, app: SocketAddr) -> Command {
    let at = folder.display();
    let config = format!(
        "daemon off;\nmaster_process off;\npid {at}/pid;\nerror_log {at}/error.log;\nevents {{}}\nhttp {{\n  access_log off;\n\
         client_body_temp_path {at}/a;\n  proxy_temp_path {at}/b;\n  fastcgi_temp_path {at}/c;\n  uwsgi_temp_path {at}/d;\n\
         scgi_temp_path {at}/e;\n  server {{ listen {address}; location / {{ proxy_pass http://{app}; }} }}\n}}\n"
    );
    fs::write(folder.join("nginx.conf"), config).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
    command
}

fn haproxy(folder: &Path, address: SocketAddr, app: SocketAddr) -> Command {
    let config = format!(
        "defaults\n  mode http\n  timeout connect 2s\n  timeout client 2s\n  timeout server 2s\n\
         listen all\n  bind {address}\n  server app {app}\n"
    );
    fs::write(folder.join("haproxy.cfg"), config).unwrap();
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(folder.join("haproxy.cfg"));
    command
}

async fn start(make: fn(&Path, SocketAddr, SocketAddr) -> Command) -> Option<Other> {
    let (folder, app, address) = (TempDir::new().unwrap(), Recorder::start().await, free());
    let mut command = make(folder.path(), address, app.address);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    let other = Other { child, address, app, _folder: folder };
    eventually("it listens", async || TcpStream::connect(address).await.is_ok()).await;
    Some(other)
}

/// The first status, where one comes in time.
async fn status(mut stream: impl crate::harness::Io, bytes: &[u8]) -> Option<u16> {
    let mut said = Vec::new();
    let exchange = async {
        let _ = stream.write_all(bytes).await;
        while said.len() < 12 || said.starts_with(b"HTTP/1.1 100") && said.len() < 40 {
            if !matches!(stream.read_buf(&mut said).await, Ok(1..)) {
                return;
            }
        }
    };
    let _ = timeout(Duration::from_secs(1), exchange).await;
    let text = String::from_utf8_lossy(&said);
    text.split("HTTP/1.").filter_map(|part| part.get(2..5)?.parse().ok()).find(|status| *status != 100)
}

/// Of each case's variants, how many were answered with success and reached the recording server.
async fn successes(cases: &[Case], address: SocketAddr, app: &Recorder) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for case in cases {
        let before = app.heads();
        let stream = TcpStream::connect(address).await.unwrap();
        let came = status(stream, &[&case.bytes[..], &behind()].concat()).await;
        let through = came.is_some_and(|status| status < 300) && app.heads() > before;
        *counts.entry(case.number).or_default() += usize::from(through);
    }
    counts
}

async fn table() -> String {
    let cases: Vec<Case> = all()
        .into_iter()
        .filter(|case| case.ends != crate::table::Ends::Delivered && !OURS.contains(&case.number))
        .collect();
    let rig = Rig::start(setup()).await;
    let mut relay = BTreeMap::<u16, usize>::new();
    for case in &cases {
        let stream = rig.tls().try_connect(rig.address).await.unwrap();
        let came = status(stream, &[&case.bytes[..], &behind()].concat()).await;
        *relay.entry(case.number).or_default() += usize::from(came.is_some_and(|status| status < 300));
    }
    rig.finish().await;
    let mut columns = vec![("relay", Some(relay))];
    for (name, make) in [("nginx", nginx as fn(&Path, SocketAddr, SocketAddr) -> Command), ("HAProxy", haproxy)] {
        let counts = match start(make).await {
            Some(other) => Some(successes(&cases, other.address, &other.app).await),
            None => {
                println!("skipped, needs {name}");
                None
            }
        };
        columns.push((name, counts));
    }
    let version = |program: &str, flag: &str| {
        let output = Command::new(program).arg(flag).output().ok();
        let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        said.split([' ', '/', '\n']).find(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned)
    };
    let shown = |name: &str| match name {
        "nginx" => format!("nginx {}", version("nginx", "-v").unwrap_or_default()),
        "HAProxy" => format!("HAProxy {}", version("haproxy", "-v").unwrap_or_default()),
        other => other.to_owned(),
    };
    let names: Vec<_> = columns.iter().map(|(name, _)| shown(name).trim().to_owned()).collect();
    let mut text = format!("| # | variants | {} |\n|---|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    let mut variants = BTreeMap::<u16, usize>::new();
    cases.iter().for_each(|case| *variants.entry(case.number).or_default() += 1);
    let cell = |counts: &Option<BTreeMap<u16, usize>>, of: &dyn Fn(&BTreeMap<u16, usize>) -> usize| {
        counts.as_ref().map_or("not measured".to_owned(), |counts| of(counts).to_string())
    };
    for (number, all) in &variants {
        let cells: Vec<_> = columns.iter().map(|(_, counts)| cell(counts, &|counts| counts[number])).collect();
        let _ = writeln!(text, "| {number} | {all} | {} |", cells.join(" | "));
    }
    let sums: Vec<_> = columns.iter().map(|(_, counts)| cell(counts, &|counts| counts.values().sum())).collect();
    let _ = writeln!(text, "| all | {} | {} |", cases.len(), sums.join(" | "));
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_others() {
    let wanted = std::env::var("HOSTILE_PEERS").unwrap_or_default();
    if wanted.is_empty() {
        println!("skipped: HOSTILE_PEERS=show or =write asks for it, and it needs nginx and haproxy");
        return;
    }
    let table = table().await;
    println!("{table}");
    if wanted == "write" {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/threat-model.md");
        let document = fs::read_to_string(&path).unwrap();
        let (before, rest) = document.split_once("<!-- peers -->\n").unwrap();
        let (_, after) = rest.split_once("<!-- /peers -->").unwrap();
        fs::write(&path, format!("{before}<!-- peers -->\n{table}<!-- /peers -->{after}")).unwrap();
    }
}
