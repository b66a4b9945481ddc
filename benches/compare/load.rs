//! What `benches/compare/run` needs beside wrk and h2load: an internal server that is never the bottleneck, new TLS connections
//! with and without resumption, latency at a fixed rate, and requests that are held open.
//!
//! ```text
//! load inside PORT                                        answer every request with 200 once it is whole
//! load send PORT REQUEST MODE THREADS SECONDS [RATE]      MODE: keepalive, close (new connections), resume, plain (no TLS);
//!                                                         says "ready" after a first round, and begins after a line on stdin
//! load hold PORT SMALL REQUEST COUNT                      a connection each, which makes the small request; "ready"; after a line on
//!                                                         stdin all but the last byte of the other; "held"; a line; the last byte
//! ```
//!
//! REQUEST is a file with the bytes of an HTTP/1.1 request. Results are one line of JSON. A thread for each connection: threads sleep
//! to the tenth of a millisecond, timers of an event loop to the millisecond. CIPHER names the only TLS 1.3 suite that is offered.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a bench fails loudly")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, HandshakeKind, StreamOwned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[path = "../subjects/any_certificate.rs"]
mod any_certificate;

use any_certificate::AnyCertificate;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["inside", port] => inside(port.parse().unwrap()),
        ["send", port, request, mode, threads, seconds, rate @ ..] => {
            let load = Load {
                port: port.parse().unwrap(),
                request: std::fs::read(request).unwrap(),
                mode: (*mode).to_owned(),
                tls: client((*mode == "resume").then_some(Resumption::in_memory_sessions(64))),
                duration: Duration::from_secs_f64(seconds.parse().unwrap()),
            };
            let threads: u32 = threads.parse().unwrap();
            send(&load, threads, rate.first().map(|rate| rate.parse().unwrap()));
        }
        ["hold", port, small, request, count] => {
            let read = |file: &str| std::fs::read(file).unwrap();
            hold(port.parse().unwrap(), &read(small), &read(request), count.parse().unwrap());
        }
        _ => panic!("usage: the head of load.rs"),
    }
}

/// TLS 1.3 with one suite and X25519, so that no server chooses.
fn client(resumption: Option<Resumption>) -> Arc<ClientConfig> {
    let mut provider = aws_lc_rs::default_provider();
    let cipher = std::env::var("CIPHER").unwrap_or_else(|_| "TLS_AES_128_GCM_SHA256".into());
    let cipher = cipher.replace("TLS_", "TLS13_");
    provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()) == cipher);
    assert!(!provider.cipher_suites.is_empty(), "no such suite: {cipher}");
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = resumption.unwrap_or_else(Resumption::disabled);
    Arc::new(config)
}

struct Load {
    port: u16,
    request: Vec<u8>,
    mode: String,
    tls: Arc<ClientConfig>,
    duration: Duration,
}

trait Stream: Read + Write + Send {
    fn resumed(&self) -> bool;
}

impl Stream for StreamOwned<ClientConnection, TcpStream> {
    fn resumed(&self) -> bool {
        self.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

impl Stream for TcpStream {
    fn resumed(&self) -> bool {
        false
    }
}

fn connect(port: u16, tls: Option<&Arc<ClientConfig>>) -> std::io::Result<Box<dyn Stream>> {
    let tcp = TcpStream::connect(("127.0.0.1", port))?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(Duration::from_secs(30)))?;
    let Some(tls) = tls else { return Ok(Box::new(tcp)) };
    let connection = ClientConnection::new(Arc::clone(tls), "localhost".try_into().unwrap()).unwrap();
    Ok(Box::new(StreamOwned::new(connection, tcp)))
}

/// The status of a whole answer.
fn answer(stream: &mut dyn Stream) -> std::io::Result<u16> {
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        got.extend_from_slice(buffer.get(..count).unwrap());
        if let Some((length, end)) = head(&got)
            && got.len() >= end + length
        {
            return Ok(String::from_utf8_lossy(got.get(9..12).unwrap()).parse().unwrap());
        }
    }
}

/// `Content-Length` and where the body begins, once the head is there.
fn head(got: &[u8]) -> Option<(usize, usize)> {
    let end = got.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(got.get(..end)?).to_ascii_lowercase();
    assert!(!text.contains("\r\ntransfer-encoding:"), "a length was expected");
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")).map_or("0", str::trim);
    Some((length.parse().unwrap(), end))
}

#[derive(Default)]
struct Done {
    good: u64,
    bad: u64,
    errors: u64,
    resumed: u64,
    latencies: Vec<u32>,
}

impl Load {
    fn exchange(&self, kept: Option<Box<dyn Stream>>) -> std::io::Result<(u16, Box<dyn Stream>)> {
        let tls = (self.mode != "plain").then_some(&self.tls);
        let mut stream = kept.map_or_else(|| connect(self.port, tls), Ok)?;
        stream.write_all(&self.request)?;
        stream.flush()?;
        Ok((answer(&mut *stream)?, stream))
    }

    /// One connection after the other, or one for all. With a rate each request has its moment, and is timed from there when the
    /// one before was late: who waits in the queue of a slow server is part of its latency.
    fn run(&self, mut kept: Option<Box<dyn Stream>>, mut next: Instant, interval: Option<Duration>) -> Done {
        let mut done = Done::default();
        let end = Instant::now() + self.duration;
        loop {
            let mut started = Instant::now();
            if let Some(interval) = interval {
                if next > started {
                    #[expect(clippy::disallowed_methods, reason = "the rate is a matter of time")]
                    std::thread::sleep(next - started);
                    started = Instant::now();
                } else {
                    started = next;
                }
                next += interval;
            }
            if started >= end {
                return done;
            }
            let result = self.exchange(kept.take());
            done.latencies.push(u32::try_from(started.elapsed().as_nanos() / 100).unwrap_or(u32::MAX));
            match result {
                Ok((status, stream)) => {
                    *(if status == 200 { &mut done.good } else { &mut done.bad }) += 1;
                    done.resumed += u64::from(stream.resumed());
                    kept = self.keeps().then_some(stream);
                }
                Err(_) => done.errors += 1,
            }
        }
    }

    fn keeps(&self) -> bool {
        ["keepalive", "plain"].contains(&self.mode.as_str())
    }
}

fn send(load: &Load, threads: u32, rate: Option<f64>) {
    let interval = rate.map(|rate| Duration::from_secs_f64(f64::from(threads) / rate));
    let (ready, go) = (Barrier::new(threads as usize + 1), Barrier::new(threads as usize + 1));
    // One after the other: thousands of handshakes at once would be another measurement, and overrun their deadline.
    let turn = Mutex::new(());
    let (all, took): (Vec<Done>, Duration) = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|number| {
                let offset = interval.map_or(Duration::ZERO, |interval| interval * number / threads);
                let (ready, go, turn) = (&ready, &go, &turn);
                let body = move || {
                    let first = {
                        let _turn = turn.lock().unwrap();
                        load.exchange(None)
                    };
                    ready.wait();
                    go.wait();
                    let kept = first.ok().filter(|_| load.keeps()).map(|(_, stream)| stream);
                    load.run(kept, Instant::now() + offset, interval)
                };
                std::thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, body).unwrap()
            })
            .collect();
        ready.wait();
        println!("ready");
        std::io::stdin().read_line(&mut String::new()).unwrap();
        go.wait();
        let begin = Instant::now();
        (running.into_iter().map(|thread| thread.join().unwrap()).collect(), begin.elapsed())
    });
    let sum = |of: fn(&Done) -> u64| all.iter().map(of).sum::<u64>();
    let mut latencies: Vec<u32> = all.iter().flat_map(|done| done.latencies.iter().copied()).collect();
    latencies.sort_unstable();
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let index = (latencies.len() as f64 * share) as usize;
        f64::from(latencies.get(index.min(latencies.len().saturating_sub(1))).copied().unwrap_or(0)) / 10.0
    };
    println!(
        r#"{{"good": {}, "bad": {}, "errors": {}, "resumed": {}, "seconds": {}, "p50": {}, "p99": {}, "p999": {}}}"#,
        sum(|done| done.good),
        sum(|done| done.bad),
        sum(|done| done.errors),
        sum(|done| done.resumed),
        took.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(0.999),
    );
}

/// Prints in the end how many got 200.
fn hold(port: u16, small: &[u8], request: &[u8], count: usize) {
    let tls = client(None);
    let (last, most) = request.split_last().unwrap();
    let step = |said: &str| {
        println!("{said}");
        std::io::stdin().read_line(&mut String::new()).unwrap();
    };
    let mut streams: Vec<_> = (0..count)
        .map(|_| {
            let mut stream = connect(port, Some(&tls)).unwrap();
            stream.write_all(small).and_then(|()| stream.flush()).unwrap();
            assert_eq!(answer(&mut *stream).unwrap(), 200);
            stream
        })
        .collect();
    step("ready");
    for stream in &mut streams {
        stream.write_all(most).and_then(|()| stream.flush()).unwrap();
    }
    step("held");
    let mut good = 0;
    for stream in &mut streams {
        stream.write_all(&[*last]).and_then(|()| stream.flush()).unwrap();
        good += usize::from(answer(&mut **stream).is_ok_and(|status| status == 200));
    }
    println!("{good}");
}

fn inside(port: u16) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], port).into()).expect("the port is free");
        let listener = socket.listen(16 * 1024).expect("the port is free");
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            tokio::spawn(serve(stream));
        }
    });
}

async fn serve(mut stream: tokio::net::TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut got = Vec::with_capacity(64 * 1024);
    loop {
        let (length, end) = loop {
            if let Some(found) = head(&got) {
                break found;
            }
            if stream.read_buf(&mut got).await.ok()? == 0 {
                return None;
            }
        };
        let mut missing = (end + length).saturating_sub(got.len());
        got.drain(..(end + length).min(got.len()));
        while missing > 0 {
            got.clear();
            let count = stream.read_buf(&mut got).await.ok()?;
            if count == 0 {
                return None;
            }
            got.drain(..count.min(missing));
            missing = missing.saturating_sub(count);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.ok()?;
    }
}
