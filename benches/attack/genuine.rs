//! The stream that must not suffer: signed webhooks at a fixed rate, over kept connections and over new ones.

use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::wire;

/// Where genuine senders sit: no attacker has it.
const FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// A sender's patience.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything that a sender knows.
pub struct Sender {
    pub port: u16,
    pub tls: Arc<ClientConfig>,
    pub signature: String,
    pub body: Vec<u8>,
    pub number: AtomicU64,
    kept: Mutex<Vec<TlsStream<TcpStream>>>,
}

/// How requests of one kind went.
#[derive(Clone, Debug, Default)]
pub struct Went {
    pub times: Vec<Duration>,
    pub failed: usize,
    pub first: Option<String>,
}

impl Went {
    /// In thousandths.
    pub fn at(&self, share: usize) -> Duration {
        self.times
            .get((self.times.len() * share / 1000).min(self.times.len().saturating_sub(1)))
            .copied()
            .unwrap_or(PATIENCE)
    }

    /// In hundredths, of all that were due.
    pub fn success(&self) -> f64 {
        100.0 * self.times.len() as f64 / (self.times.len() + self.failed).max(1) as f64
    }
}

impl Sender {
    pub fn new(port: u16, tls: Arc<ClientConfig>, signature: String) -> Self {
        Self { port, tls, signature, body: wire::body(), number: AtomicU64::new(1), kept: Mutex::default() }
    }

    /// A webhook that nobody has seen yet.
    pub fn webhook(&self) -> Vec<u8> {
        wire::webhook(&self.signature, self.number.fetch_add(1, Ordering::Relaxed), &self.body)
    }

    /// So many a second over kept connections, and so many over new ones.
    pub async fn stream(self: &Arc<Self>, kept: u64, fresh: u64, during: Duration) -> [Went; 2] {
        let mut due = pace(kept, fresh, during);
        let mut under_way = JoinSet::new();
        while let Some((at, new)) = due.recv().await {
            let sender = Arc::clone(self);
            under_way.spawn(async move {
                let sent = timeout(PATIENCE, sender.send(new)).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
                (new, at.elapsed(), sent)
            });
        }
        let mut went = [Went::default(), Went::default()];
        for (new, took, sent) in under_way.join_all().await {
            let went = &mut went[usize::from(new)];
            match sent {
                Ok(200) => went.times.push(took),
                other => {
                    went.failed += 1;
                    went.first.get_or_insert(format!("{other:?}"));
                }
            }
        }
        went.iter_mut().for_each(|went| went.times.sort_unstable());
        went
    }

    async fn send(&self, new: bool) -> io::Result<u16> {
        let request = self.webhook();
        if !new {
            let stream = self.kept.lock().unwrap().pop();
            if let Some(mut stream) = stream {
                match exchange(&mut stream, &request).await {
                    Ok((status, stays)) => {
                        if stays {
                            self.kept.lock().unwrap().push(stream);
                        }
                        return Ok(status);
                    }
                    // It had ended while it was kept; every sender tries a new one then.
                    Err(_) => drop(stream),
                }
            }
        }
        let mut stream = wire::tls(wire::tcp(FROM, self.port, None).await?, &self.tls).await?;
        let (status, stays) = exchange(&mut stream, &request).await?;
        if stays && !new {
            self.kept.lock().unwrap().push(stream);
        }
        Ok(status)
    }
}

async fn exchange(stream: &mut TlsStream<TcpStream>, request: &[u8]) -> io::Result<(u16, bool)> {
    stream.write_all(request).await?;
    stream.flush().await?;
    wire::answer(stream, &mut Vec::with_capacity(1024)).await
}

/// A thread that says when something is due, and whether over a new connection. The runtime's own timer counts milliseconds, which is
/// too coarse here.
fn pace(kept: u64, fresh: u64, during: Duration) -> mpsc::UnboundedReceiver<(Instant, bool)> {
    let (say, due) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let began = Instant::now();
        let (mut kept_sent, mut fresh_sent) = (0, 0);
        let at = |sent: u64, rate: u64| Duration::from_nanos(sent * 1_000_000_000 / rate);
        loop {
            let (next_kept, next_fresh) = (at(kept_sent, kept), at(fresh_sent, fresh));
            let new = next_fresh < next_kept;
            let next = next_kept.min(next_fresh);
            if next >= during {
                return;
            }
            std::thread::park_timeout(next.saturating_sub(began.elapsed()));
            if say.send((began + next, new)).is_err() {
                return;
            }
            *(if new { &mut fresh_sent } else { &mut kept_sent }) += 1;
        }
    });
    due
}
