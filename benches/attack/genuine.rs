//! The stream that must not suffer: signed webhooks at a fixed rate, over kept connections, over new ones, and over new ones from
//! addresses that nobody has seen before.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::client::Resumption;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::wire;

/// A sender's patience.
const PATIENCE: Duration = Duration::from_secs(5);

/// Over what a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Kept,
    New,
    /// A new connection from an address that was never used.
    First,
}

impl Over {
    pub const ALL: [Self; 3] = [Self::Kept, Self::New, Self::First];
}

/// Everything that a sender knows.
pub struct Sender {
    pub port: u16,
    pub tls: Arc<ClientConfig>,
    /// Of somebody who has been nowhere.
    fresh: Arc<ClientConfig>,
    secret: String,
    number: AtomicU64,
    addresses: AtomicU32,
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
    pub fn add(&mut self, sent: io::Result<u16>, took: Duration) {
        match sent {
            Ok(200) => self.times.push(took),
            other => {
                self.failed += 1;
                self.first.get_or_insert(format!("{other:?}"));
            }
        }
    }

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
    pub fn new(port: u16, tls: ClientConfig, secret: String) -> Self {
        let mut fresh = tls.clone();
        fresh.resumption = Resumption::disabled();
        let (tls, fresh) = (Arc::new(tls), Arc::new(fresh));
        Self {
            port,
            tls,
            fresh,
            secret,
            number: AtomicU64::new(1),
            addresses: AtomicU32::new(1),
            kept: Mutex::default(),
        }
    }

    /// A webhook that nobody has seen yet.
    pub fn webhook(&self) -> Vec<u8> {
        self.numbered(self.number.fetch_add(1, Ordering::Relaxed))
    }

    fn numbered(&self, number: u64) -> Vec<u8> {
        let body = wire::body(number);
        wire::webhook(wire::PATH, &wire::sign(self.secret.as_bytes(), &body), number, 0, &body)
    }

    /// Sends the webhook that the attacker has captured.
    pub async fn is_captured(&self) {
        let stream = wire::tls(wire::tcp(wire::KNOWN, self.port, None).await.unwrap(), &self.tls).await;
        let (status, _) = exchange(&mut stream.unwrap(), &self.numbered(wire::CAPTURED)).await.unwrap();
        assert_eq!(status, 200);
    }

    /// So many a second of each kind.
    pub async fn stream(self: &Arc<Self>, rates: [u64; 3], during: Duration) -> [Went; 3] {
        let mut due = pace(rates, during);
        let mut under_way = JoinSet::new();
        while let Some((at, over)) = due.recv().await {
            let sender = Arc::clone(self);
            under_way.spawn(async move {
                let sent = timeout(PATIENCE, sender.send(over)).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
                (over, at.elapsed(), sent)
            });
        }
        let mut went: [Went; 3] = Default::default();
        for (over, took, sent) in under_way.join_all().await {
            went[over as usize].add(sent, took);
        }
        went.iter_mut().for_each(|went| went.times.sort_unstable());
        went
    }

    async fn send(&self, over: Over) -> io::Result<u16> {
        let request = self.webhook();
        if over == Over::Kept {
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
        let (from, tls) = match over {
            Over::First => (wire::first_time(self.addresses.fetch_add(1, Ordering::Relaxed)), &self.fresh),
            Over::Kept | Over::New => (wire::KNOWN, &self.tls),
        };
        let mut stream = wire::tls(wire::tcp(from, self.port, None).await?, tls).await?;
        let (status, stays) = exchange(&mut stream, &request).await?;
        if stays && over == Over::Kept {
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

/// A thread that says when something is due, and over what. The runtime's own timer counts milliseconds, which is too coarse here.
fn pace(rates: [u64; 3], during: Duration) -> mpsc::UnboundedReceiver<(Instant, Over)> {
    let (say, due) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let began = Instant::now();
        let mut sent = [0; 3];
        let at = |sent: [u64; 3], over: Over| {
            Duration::from_nanos(sent[over as usize] * 1_000_000_000 / rates[over as usize])
        };
        loop {
            let over = Over::ALL.into_iter().min_by_key(|over| at(sent, *over)).unwrap();
            let next = at(sent, over);
            if next >= during {
                return;
            }
            std::thread::park_timeout(next.saturating_sub(began.elapsed()));
            if say.send((began + next, over)).is_err() {
                return;
            }
            sent[over as usize] += 1;
        }
    });
    due
}
