//! The three systems as senders: they sign as theirs do, go on until they are answered 200, and keep account of it.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::inside::read_message;
use crate::relay::LONG;

/// Oktave into a queue, Dastra with failover, and a token route whose order is kept.
pub const ROUTES: &str = r#"
[routes.oktave]
path = "/hooks/oktave"
provider = "oktave"
secrets = [{ file = "oktave" }]
upstream = "inside"
delivery = "queue"
concurrency = 4
retry = { first = "10ms", max = "40ms" }

[routes.dastra]
path = "/hooks/dastra"
provider = "dastra"
secrets = [{ file = "dastra" }]
allow = ["@dastra"]
upstream = "inside"
delivery = "failover"
concurrency = 4
retry = { first = "10ms", max = "40ms" }

[routes.octolis]
path = "/hooks/octolis"
provider = "octolis"
secrets = [{ file = "octolis" }]
upstream = "inside"
delivery = "queue"
ordered = true
retry = { first = "10ms", max = "40ms" }
"#;

/// Requests that the routes above deliver at one moment at most: what a kill can make a duplicate of.
pub const CONCURRENCY: usize = 4 + 4 + 1;

pub fn secret(system: &str) -> String {
    format!("{system}-secret-of-the-crash-test-0123456789")
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Oktave,
    Dastra,
    Octolis,
}

impl System {
    pub fn route(self) -> &'static str {
        match self {
            Self::Oktave => "oktave",
            Self::Dastra => "dastra",
            Self::Octolis => "octolis",
        }
    }

    /// A signed request with this mark. Another call with the same number is the same event, sent again.
    pub fn message(self, number: u64, mark: &str, bulk: usize) -> String {
        let now = now();
        let route = self.route();
        let mac = |message: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret(route).as_bytes()).unwrap();
            mac.update(message.as_bytes());
            mac.finalize().into_bytes()
        };
        let mut target = format!("/hooks/{route}");
        let bulk = "x".repeat(bulk);
        let (fields, body) = match self {
            Self::Oktave => {
                let id = format!("0191e2a4-7b1c-7c3e-9f00-{number:012x}");
                let body = format!(
                    "{{\"id\":\"a\",\"event_id\":\"{id}\",\"timestamp\":{now},\"type\":\"contact\",\"is_test\":false,\
                     \"data\":{{\"mark\":\"{mark}\",\"bulk\":\"{bulk}\"}}}}"
                );
                let signature = HEXLOWER.encode(&mac(&format!("{id}{now}")));
                let fields =
                    format!("Oktave-Event-Id: {id}\r\nOktave-Timestamp: {now}\r\nOktave-Signature: {signature}\r\n");
                (fields, body)
            }
            Self::Dastra => {
                let body = format!("{{\"event\":\"consent\",\"mark\":\"{mark}\",\"bulk\":\"{bulk}\"}}");
                let signature = BASE64.encode(&mac(&body));
                (format!("Dastra-Signature: {signature}\r\nX-Forwarded-For: 40.89.131.148\r\n"), body)
            }
            Self::Octolis => {
                target.push_str(&format!("?api-key={}", secret(route)));
                (String::new(), format!("{{\"contact\":{number},\"mark\":\"{mark}\",\"bulk\":\"{bulk}\"}}"))
            }
        };
        let length = body.len();
        format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{fields}\
             Content-Length: {length}\r\n\r\n{body}"
        )
    }
}

#[expect(clippy::disallowed_methods, reason = "the relay under test is a process of its own, with the system's clock")]
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// Sends a message over a connection of its own; the status that it is answered.
pub fn post(address: &str, message: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LONG)).ok()?;
    stream.write_all(message.as_bytes()).ok()?;
    let (head, _) = read_message(&mut BufReader::new(stream))?;
    head.split(' ').nth(1)?.parse().ok()
}

/// What one sender was told of one event.
#[derive(Clone, Debug)]
pub struct Told {
    pub mark: String,
    pub system: System,
    /// Times that it was sent.
    pub sent: u32,
    /// The sender was answered 200.
    pub acknowledged: bool,
    /// Every other status that it was answered.
    pub others: Vec<u16>,
    /// The longest that an answer took.
    pub took: Duration,
}

/// What all senders know.
#[derive(Debug, Default)]
pub struct Account {
    told: Mutex<Vec<Told>>,
    answered: Condvar,
    numbers: AtomicU64,
    acknowledged: AtomicU32,
}

impl Account {
    /// Goes on from what was known before.
    pub fn continuing(told: Vec<Told>) -> Self {
        let numbers = AtomicU64::new(told.len() as u64);
        Self { told: Mutex::new(told), numbers, ..Self::default() }
    }

    pub fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// How many requests were answered 200 so far.
    pub fn acknowledged(&self) -> u32 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until that many were; false after `patience`.
    pub fn until(&self, acknowledged: u32, patience: Duration) -> bool {
        let told = self.told.lock().unwrap();
        let few = |_: &mut Vec<Told>| self.acknowledged() < acknowledged;
        !self.answered.wait_timeout_while(told, patience, few).unwrap().1.timed_out()
    }
}

/// One sender; it outlives the relay and tries the same event again, as providers do.
#[derive(Debug)]
pub struct Sender {
    pub system: System,
    /// Bytes that its bodies have more.
    pub bulk: usize,
    number: usize,
    account: Arc<Account>,
    connection: Option<BufReader<TcpStream>>,
    /// What was sent and not acknowledged: its place in the account, and its number.
    open: Option<(usize, u64)>,
}

impl Sender {
    pub fn new(system: System, number: usize, account: &Arc<Account>) -> Self {
        Self { system, bulk: 0, number, account: Arc::clone(account), connection: None, open: None }
    }

    /// Sends the next event, or the last one again if it was not acknowledged; gives the status, if one came.
    pub fn send(&mut self, address: &str) -> Option<u16> {
        let (place, number) = *self.open.get_or_insert_with(|| {
            let mut told = self.account.told.lock().unwrap();
            let number = self.account.numbers.fetch_add(1, Ordering::SeqCst);
            told.push(Told {
                mark: format!("{}-{}-{number:08}", self.system.route(), self.number),
                system: self.system,
                sent: 0,
                acknowledged: false,
                others: Vec::new(),
                took: Duration::ZERO,
            });
            (told.len() - 1, number)
        });
        let mark = {
            let mut told = self.account.told.lock().unwrap();
            told[place].sent += 1;
            told[place].mark.clone()
        };
        let began = Instant::now();
        let message = self.system.message(number, &mark, self.bulk);
        let status = self.exchange(address, &message);
        if status.is_none() {
            self.connection = None;
        }
        let mut told = self.account.told.lock().unwrap();
        match status {
            Some(200) => {
                told[place].acknowledged = true;
                self.open = None;
                self.account.acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            Some(other) => told[place].others.push(other),
            None => {}
        }
        told[place].took = told[place].took.max(began.elapsed());
        drop(told);
        self.account.answered.notify_all();
        status
    }

    fn exchange(&mut self, address: &str, message: &str) -> Option<u16> {
        if self.connection.is_none() {
            let stream = TcpStream::connect(address).ok()?;
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            self.connection = Some(BufReader::new(stream));
        }
        let stream = self.connection.as_mut().unwrap();
        stream.get_mut().write_all(message.as_bytes()).ok()?;
        let (head, _) = read_message(stream)?;
        if head.to_ascii_lowercase().contains("connection: close") {
            self.connection = None;
        }
        Some(head.split(' ').nth(1).unwrap().parse().unwrap())
    }

    /// Sends until the relay is gone, or until `enough` says so; one thread's work.
    pub fn keep_sending(&mut self, address: &str, enough: impl Fn() -> bool) {
        self.connection = None;
        while !enough() && self.send(address).is_some() {}
        self.connection = None;
    }
}
