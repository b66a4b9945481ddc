//! Attacks that hold: each is one connection, from its start until the other side ends it.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval_at, timeout};
use tokio_rustls::client::TlsStream;

use super::attacker::{Attack, PATIENCE};
use super::wire;

/// Between two bytes of somebody who has time.
const DRIP: Duration = Duration::from_secs(1);

/// A connection, and not one byte.
pub async fn silent(attack: &Attack, from: Ipv4Addr) -> io::Result<()> {
    let mut stream = wire::tcp(from, attack.port, None).await?;
    ends(attack, &mut stream).await
}

/// A hello, which the other side answers with all of its arithmetic, and then nothing.
pub async fn half_open(attack: &Attack, from: Ipv4Addr, tls: &Arc<ClientConfig>) -> io::Result<()> {
    let mut stream = wire::tcp(from, attack.port, None).await?;
    stream.write_all(&hello(tls)).await?;
    let mut buffer = [0; 4096];
    if stream.read(&mut buffer).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    ends(attack, &mut stream).await
}

fn hello(tls: &Arc<ClientConfig>) -> Vec<u8> {
    let name = rustls::pki_types::ServerName::try_from(wire::NAME).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::clone(tls), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// Reads until the other side ends it.
async fn ends(attack: &Attack, stream: &mut TcpStream) -> io::Result<()> {
    let began = Instant::now();
    let mut buffer = [0; 4096];
    let mut first = true;
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => {
                // A connection that was not let in is none that was held.
                if first && began.elapsed() < Duration::from_millis(100) {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                attack.count(&attack.opened);
                attack.lived(began.elapsed());
                return Ok(());
            }
            Ok(_) => first = false,
        }
    }
}

/// A head that has no end.
pub async fn head(attack: &Attack, from: Ipv4Addr, tls: &Arc<ClientConfig>) -> io::Result<()> {
    drip(attack, from, tls, "POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await
}

/// A body that has no end.
pub async fn body(attack: &Attack, from: Ipv4Addr, tls: &Arc<ClientConfig>) -> io::Result<()> {
    let head = "POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                X-GitHub-Event: push\r\nX-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-000000000000\r\n\
                X-Hub-Signature-256: sha256=0000000000000000000000000000000000000000000000000000000000000000\r\n\
                Content-Length: 100000\r\n\r\n";
    drip(attack, from, tls, head).await
}

async fn drip(attack: &Attack, from: Ipv4Addr, tls: &Arc<ClientConfig>, first: &str) -> io::Result<()> {
    let mut stream = wire::tls(wire::tcp(from, attack.port, None).await?, tls).await?;
    say(&mut stream, first.as_bytes()).await?;
    attack.count(&attack.opened);
    let began = Instant::now();
    let mut pace = interval_at(began + DRIP, DRIP);
    let mut buffer = [0; 512];
    loop {
        let ended = tokio::select! {
            // The tickets of TLS 1.3 are read inside; what comes out is an answer, which says that the end is near.
            read = stream.read(&mut buffer) => !matches!(read, Ok(1..)),
            _ = pace.tick() => say(&mut stream, b"a").await.is_err(),
        };
        if ended {
            attack.lived(began.elapsed());
            return Ok(());
        }
    }
}

async fn say(stream: &mut TlsStream<TcpStream>, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Asks and asks, and never reads an answer.
pub async fn read(attack: &Attack, from: Ipv4Addr, tls: &Arc<ClientConfig>) -> io::Result<()> {
    let mut stream = wire::tls(wire::tcp(from, attack.port, Some(4096)).await?, tls).await?;
    let began = Instant::now();
    let asks = "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20);
    say(&mut stream, asks.as_bytes()).await?;
    attack.count(&attack.opened);
    // Until nothing more goes through, and then until that ends.
    loop {
        match timeout(PATIENCE * 4, say(&mut stream, asks.as_bytes())).await {
            Ok(Ok(())) => _ = attack.sent.fetch_add(20, std::sync::atomic::Ordering::Relaxed),
            _ => {
                attack.lived(began.elapsed());
                return Ok(());
            }
        }
    }
}

/// A signature, and no body to it.
pub async fn silent_body(attack: &Attack, from: Ipv4Addr, tls: &Arc<ClientConfig>) -> io::Result<()> {
    let mut stream = wire::tls(wire::tcp(from, attack.port, None).await?, tls).await?;
    say(&mut stream, wire::head(wire::PATH, &attack.signature, wire::CAPTURED, 0, 100_000).as_bytes()).await?;
    attack.count(&attack.opened);
    wire::answer(&mut stream, &mut Vec::with_capacity(1024)).await?;
    attack.count(&attack.answered);
    Ok(())
}

/// The captured request, as if it were a genuine sender's, and then the place is held.
pub async fn replay(attack: &Attack, from: Ipv4Addr, tls: &Arc<ClientConfig>) -> io::Result<()> {
    let mut stream = wire::tls(wire::tcp(from, attack.port, None).await?, tls).await?;
    let body = wire::body(wire::CAPTURED);
    say(&mut stream, &wire::webhook(wire::PATH, &attack.signature, wire::CAPTURED, 0, &body)).await?;
    wire::answer(&mut stream, &mut Vec::with_capacity(1024)).await?;
    attack.count(&attack.opened);
    let began = Instant::now();
    let _ = stream.read_u8().await;
    attack.lived(began.elapsed());
    Ok(())
}

/// Asks the admin listener for its metrics again and again, and never reads them.
pub async fn admin(attack: &Attack, from: Ipv4Addr) -> io::Result<()> {
    let mut stream = wire::tcp(from, attack.port, Some(4096)).await?;
    attack.count(&attack.opened);
    let began = Instant::now();
    let asks = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20);
    while !attack.is_over() {
        if !matches!(timeout(PATIENCE, stream.write_all(asks.as_bytes())).await, Ok(Ok(()))) {
            attack.lived(began.elapsed());
            break;
        }
    }
    Ok(())
}

/// One request, and then nothing: what a sender does between two webhooks.
pub async fn idle(attack: &Attack, from: Ipv4Addr, tls: &Arc<ClientConfig>) -> io::Result<()> {
    let mut stream = wire::tls(wire::tcp(from, attack.port, None).await?, tls).await?;
    say(&mut stream, b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    wire::answer(&mut stream, &mut Vec::with_capacity(1024)).await?;
    attack.count(&attack.opened);
    let _ = stream.read_u8().await;
    Ok(())
}
