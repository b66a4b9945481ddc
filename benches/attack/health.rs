//! Whoever watches the relay asks for its health, again and again.

use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::time::{interval, timeout};

use super::genuine::Went;
use super::wire;

const PACE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(5);

/// How it went.
pub async fn asked(port: u16, during: Duration) -> Went {
    let (began, mut pace, mut went) = (Instant::now(), interval(PACE), Went::default());
    while began.elapsed() < during {
        pace.tick().await;
        let asked = Instant::now();
        let answer = timeout(PATIENCE, ask(port)).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
        went.add(answer, asked.elapsed());
    }
    went.times.sort_unstable();
    went
}

async fn ask(port: u16) -> io::Result<u16> {
    let mut stream = wire::tcp(Ipv4Addr::LOCALHOST, port, None).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    Ok(wire::answer(&mut stream, &mut Vec::with_capacity(1024)).await?.0)
}
