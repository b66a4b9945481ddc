//! What `benches/store/run` needs beside the relay and `wrk`: an internal server that is never the bottleneck, the device's own
//! `fdatasync`, a way to fill a spool, and a stop-watch for the start.
//!
//! ```text
//! tool inside PORT               answer every request with 200
//! tool fsync FOLDER SECONDS      append 8 KiB and fdatasync, over and over
//! tool fill FILE COUNT [keys]    accept so many requests of 1.8 KiB for the route "github"
//! tool start PORT COMMAND…       milliseconds from exec until the port takes a connection, then the resident memory
//! ```

#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot be set up should say so and stop")]

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dmz_relay::base::{Clock, UnixMillis};
use dmz_relay::domain::{Framing, Head, HistoryOutcome, Marks, Method, Version};
use dmz_relay::gate::pipeline::record::request_id;
use dmz_relay::guards::dedupe::DedupeKey;
use dmz_relay::store::{Accept, Entry, Settings, Store, Took};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["inside", port] => runtime().block_on(inside(port.parse().unwrap())),
        ["fsync", folder, seconds] => fsync(folder, Duration::from_secs(seconds.parse().unwrap())),
        ["fill", file, count] => runtime().block_on(fill(file, count.parse().unwrap(), false)),
        ["fill", file, count, "keys"] => runtime().block_on(fill(file, count.parse().unwrap(), true)),
        ["start", port, program, ref more @ ..] => start(port.parse().unwrap(), program, more),
        _ => panic!("see the head of benches/store/tool.rs"),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Reads requests with a `Content-Length` and answers each; nothing else is needed here.
async fn inside(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let mut buffer = Vec::with_capacity(64 * 1024);
            while let Ok(1..) = stream.read_buf(&mut buffer).await {
                while let Some(length) = whole(&buffer) {
                    buffer.drain(..length);
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// The length of the first request in the buffer, once all of it is there.
fn whole(buffer: &[u8]) -> Option<usize> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(head)) = request.parse(buffer) else { return None };
    let length = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.map_or(0, |field| std::str::from_utf8(field.value).unwrap().parse().unwrap());
    (buffer.len() >= head + length).then_some(head + length)
}

fn fsync(folder: &str, during: Duration) {
    let path = format!("{folder}/fsync.probe");
    let mut file = File::create(&path).unwrap();
    let began = Instant::now();
    let mut took = Vec::new();
    while began.elapsed() < during {
        file.write_all(&[7; 8192]).unwrap();
        let before = Instant::now();
        file.sync_data().unwrap();
        took.push(before.elapsed());
    }
    fs::remove_file(path).unwrap();
    took.sort_unstable();
    let at = |share: usize| took.get(took.len() * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    println!("{:.3} {:.3}", at(50), at(99));
}

/// Through the store's own door, many at a time, as a burst of senders would.
async fn fill(file: &str, count: u64, keys: bool) {
    const AT_ONCE: usize = 4096;
    let settings = Settings {
        path: file.into(),
        keys: Vec::new(),
        keep_age: Duration::from_hours(14 * 24),
        keep_size: 1 << 40,
        disk_reserve: 0,
        refusals_per_second: 20,
    };
    let clock = Clock::system();
    let (store, _) = Store::open(&settings, clock.clone(), |news| eprintln!("{news:?}")).unwrap();
    let body = Bytes::from(format!("{{\"a\":\"{}\"}}", "x".repeat(1780)));
    let began = Instant::now();
    let mut under_way = JoinSet::new();
    for number in 0..count {
        let (store, accept) = (Arc::clone(&store), accept(number, &body, clock.now(), keys));
        under_way.spawn(async move { store.accept(accept).await.unwrap() });
        if under_way.len() >= AT_ONCE {
            under_way.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(done) = under_way.join_next().await {
        done.unwrap();
    }
    eprintln!("{count} accepted in {:.1} s", began.elapsed().as_secs_f64());
}

fn accept(number: u64, body: &Bytes, now: UnixMillis, keys: bool) -> Accept {
    let id = format!("{number:08x}-cc78-11e3-81ab-4c9367dc0958");
    let head = Head::builder(Method::Post, Version::Http11)
        .target("/hooks/github")
        .host("localhost")
        .framing(Framing::Length(body.len() as u64))
        .header("Content-Type", "application/json")
        .header("User-Agent", "GitHub-Hookshot/x")
        .header("X-GitHub-Event", "push")
        .header("X-GitHub-Delivery", &id)
        .header("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)))
        .build();
    let entry = Entry {
        request_id: request_id(now).into(),
        received_at: now,
        listener: "public".into(),
        route: Some("github".into()),
        provider: Some("github".into()),
        method: Method::Post,
        version: Version::Http11,
        head: Some(head),
        marks: Marks::default(),
        held: None,
        suffix: 0,
        https: true,
        source: [127, 0, 0, 1].into(),
        via: "socket",
        allowed_by: None,
        outcome: HistoryOutcome::Accepted,
        reason: "",
        status: 200,
        key: Some("1".into()),
        verified_by: None,
        dedupe: Some(id.as_str().into()),
        timestamp: None,
        body_bytes: body.len() as u64,
        body: Some(body.clone()),
        upstream: None,
        server: None,
        upstream_status: None,
        attempts: 0,
        detail: None,
        took: Took::default(),
    };
    let dedupe = keys.then(|| (DedupeKey::new("github", "1", &id), now.plus(Duration::from_hours(72))));
    Accept { entry, dedupe, tried: None, due: Some(now), refused: None, keep_body: false, repeat: false }
}

fn start(port: u16, program: &str, arguments: &[&str]) {
    let log = File::create("logs/start.log").unwrap();
    let began = Instant::now();
    let mut relay = Command::new(program).args(arguments).stderr(log).stdout(Stdio::null()).spawn().unwrap();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(relay.try_wait().unwrap().is_none(), "it ended: see logs/start.log");
        thread::yield_now();
    }
    let took = began.elapsed();
    // Long enough for the dispatchers to have looked at what waits.
    thread::park_timeout(Duration::from_secs(5));
    let status = fs::read_to_string(format!("/proc/{}/status", relay.id())).unwrap();
    let of = |name: &str| -> f64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_matches([':', '\t', ' ', 'k', 'B']).parse::<f64>().unwrap() / 1024.0
    };
    println!("{:.0} {:.1} {:.1}", took.as_secs_f64() * 1e3, of("VmRSS"), of("RssAnon"));
    relay.kill().unwrap();
    relay.wait().unwrap();
}
