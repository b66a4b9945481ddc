//! The internal application: answers as it is told to, and writes down every request that reaches it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

/// How it answers, in parts of 256; what is left over is answered 200.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// 503.
    pub refuses: u8,
    /// It reads, and closes without a word: the relay cannot know whether it was taken. Half of these count as taken.
    pub hangs_up: u8,
    /// It reads, says nothing for as long as it behaves so, and hangs up then. Nothing of this counts as taken.
    pub holds: bool,
}

impl Manner {
    pub const WELL: Self = Self { refuses: 0, hangs_up: 0, holds: false };
    pub const FLAPS: Self = Self { refuses: 60, hangs_up: 30, holds: false };
    /// Takes nothing at all.
    pub const DOWN: Self = Self { refuses: 255, hangs_up: 0, holds: false };
    /// Never answers.
    pub const HELD: Self = Self { refuses: 0, hangs_up: 0, holds: true };
}

/// A request that reached the application.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The test's own mark in the body.
    pub mark: String,
    pub route: String,
    pub request_id: String,
    pub attempt: u32,
    pub received_at: String,
    pub redelivery: bool,
    /// It counts as done: a second one is a duplicate.
    pub taken: bool,
    /// Nobody was told.
    pub hung_up: bool,
    pub head: String,
    pub body: Bytes,
}

#[derive(Debug, Default)]
struct Seen {
    arrivals: Vec<Arrival>,
    connections: usize,
    manner: Manner,
    /// A route whose requests it finds wrong: 422.
    rejected: Option<String>,
    random: fastrand::Rng,
}

/// Its threads end with the test process.
#[derive(Clone, Debug)]
pub struct Inside {
    pub address: String,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

impl Inside {
    pub fn start(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Seen { random: fastrand::Rng::with_seed(seed), ..Seen::default() };
        let inside = Self { address, seen: Arc::new((Mutex::new(seen), Condvar::new())) };
        let serving = inside.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                serving.with(|seen| seen.connections += 1);
                let serving = serving.clone();
                std::thread::spawn(move || {
                    serving.serve(stream);
                    serving.with(|seen| seen.connections -= 1);
                });
            }
        });
        inside
    }

    fn with<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let result = change(&mut self.seen.0.lock().unwrap());
        self.seen.1.notify_all();
        result
    }

    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut stream = BufReader::new(stream);
        while let Some((head, body)) = read_message(&mut stream) {
            let field = |name| field(&head, name).unwrap_or_default().to_owned();
            let mut arrival = Arrival {
                mark: mark(&body),
                route: field("relay-route"),
                request_id: field("x-request-id"),
                attempt: field("relay-attempt").parse().unwrap(),
                received_at: field("relay-received-at"),
                redelivery: field("relay-redelivery") == "true",
                taken: true,
                hung_up: false,
                head: head.clone(),
                body: body.into(),
            };
            if self.holds_back(&mut arrival) {
                return;
            }
            let status = self.with(|seen| {
                let (manner, dice) = (seen.manner, seen.random.u8(..));
                let hangs = dice >= manner.refuses && dice < manner.refuses.saturating_add(manner.hangs_up);
                let refuses = dice < manner.refuses || manner == Manner::DOWN;
                if seen.rejected.as_ref() == Some(&arrival.route) {
                    arrival.taken = false;
                    seen.arrivals.push(arrival);
                    return Some("422 Unprocessable Content");
                }
                arrival.taken = !refuses && (!hangs || seen.random.bool());
                arrival.hung_up = hangs;
                seen.arrivals.push(arrival);
                if refuses { Some("503 Service Unavailable") } else { (!hangs).then_some("200 OK") }
            });
            let Some(status) = status else { return };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            if stream.get_mut().write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    /// Whether the request was held until its manner changed.
    fn holds_back(&self, arrival: &mut Arrival) -> bool {
        let mut seen = self.seen.0.lock().unwrap();
        if !seen.manner.holds {
            return false;
        }
        arrival.taken = false;
        seen.arrivals.push(arrival.clone());
        self.seen.1.notify_all();
        drop(self.seen.1.wait_while(seen, |seen| seen.manner.holds).unwrap());
        true
    }

    pub fn behave(&self, manner: Manner) {
        self.with(|seen| seen.manner = manner);
    }

    /// Finds every request of a route wrong.
    pub fn reject(&self, route: &str) {
        self.with(|seen| seen.rejected = Some(route.to_owned()));
    }

    pub fn accept_everything(&self) {
        self.with(|seen| seen.rejected = None);
    }

    /// Begins with what reached it before.
    pub fn remember(&self, arrivals: Vec<Arrival>) {
        self.with(|seen| seen.arrivals = arrivals);
    }

    /// Everything so far, in order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.seen.0.lock().unwrap().arrivals.clone()
    }

    /// How many requests have reached it.
    pub fn count(&self) -> usize {
        self.seen.0.lock().unwrap().arrivals.len()
    }

    /// Waits until something holds of the arrivals; false after `patience`.
    pub fn until(&self, patience: Duration, condition: impl Fn(&[Arrival]) -> bool) -> bool {
        let began = Instant::now();
        let mut seen = self.seen.0.lock().unwrap();
        loop {
            if condition(&seen.arrivals) {
                return true;
            }
            let Some(left) = patience.checked_sub(began.elapsed()) else { return false };
            seen = self.seen.1.wait_timeout(seen, left).unwrap().0;
        }
    }

    /// Waits until every connection of a relay that is gone was read to its end.
    pub fn hung_up(&self) {
        let seen = self.seen.0.lock().unwrap();
        let patience = Duration::from_secs(120);
        let (seen, waited) = self.seen.1.wait_timeout_while(seen, patience, |seen| seen.connections > 0).unwrap();
        assert!(!waited.timed_out(), "{} connections to the inside are still open", seen.connections);
    }
}

/// A head and a body whose length it declares.
pub fn read_message(stream: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let length = field(&head, "content-length").map_or(0, |value| value.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

pub fn field<'h>(head: &'h str, wanted: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(wanted).then_some(value.trim())
    })
}

/// `"mark":"…"` in a body.
fn mark(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mark = text.split("\"mark\":\"").nth(1).and_then(|rest| rest.split('"').next());
    mark.unwrap_or_default().to_owned()
}
