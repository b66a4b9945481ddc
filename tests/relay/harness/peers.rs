//! Internal servers: each listens on a kernel-chosen port, counts its connections and remembers the requests it read.

pub mod held;
pub mod honest;
pub mod lying;
pub mod moody;
pub mod resetting;
pub mod scripted;
pub mod silent;
pub mod slow;
pub mod streams;
pub mod tls;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A request as it arrived inside.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Request line and fields, as they were.
    pub head: String,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// Every value of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The one value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} twice: {}", self.head);
        all.first().copied()
    }
}

#[derive(Default)]
pub struct Notes {
    connections: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
}

impl Notes {
    pub fn push(&self, seen: Seen) {
        self.seen.lock().unwrap().push(seen);
    }
}

pub struct Peer {
    pub address: SocketAddr,
    notes: Arc<Notes>,
    task: JoinHandle<()>,
}

impl Peer {
    /// Runs `behave` for each connection.
    pub async fn start<F, Fut>(behave: F) -> Self
    where
        F: Fn(BufReader<TcpStream>, Arc<Notes>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let notes = Arc::new(Notes::default());
        let shared = Arc::clone(&notes);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                shared.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(behave(BufReader::new(stream), Arc::clone(&shared)));
            }
        });
        Self { address, notes, task }
    }

    /// Of the bodies, in the order in which they came.
    pub fn texts(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| String::from_utf8(seen.body).unwrap()).collect()
    }

    pub fn connections(&self) -> usize {
        self.notes.connections.load(Ordering::SeqCst)
    }

    /// How many requests there were.
    pub fn count(&self) -> usize {
        self.notes.seen.lock().unwrap().len()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.notes.seen.lock().unwrap().clone()
    }

    pub fn last(&self) -> Seen {
        self.seen().pop().unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server that is not there: its address was free a moment ago.
pub async fn nobody() -> Peer {
    let peer = Peer::start(|_, _| async {}).await;
    peer.task.abort();
    super::eventually("its socket is closed", async || TcpStream::connect(peer.address).await.is_err()).await;
    peer.notes.connections.store(0, Ordering::SeqCst);
    peer
}

/// One HTTP/1.1 request, `None` at the end of the connection.
pub async fn read_request(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<Seen> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let mut seen = Seen { head, body: Vec::new() };
    assert!(seen.all("transfer-encoding").is_empty(), "{}", seen.head);
    let length = seen.field("content-length").map_or(0, |length| length.parse().unwrap());
    seen.body.resize(length, 0);
    stream.read_exact(&mut seen.body).await.ok()?;
    Some(seen)
}
