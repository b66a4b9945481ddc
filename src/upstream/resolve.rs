//! From a server's name to connectable peers, without ever waiting for DNS twice.
//!
//! An address literal is resolved for ever. A name is looked up by one task at a time; requests use the last good answer
//! while a newer one is fetched, and only the very first request waits. A failed lookup never replaces a good answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pingora_core::upstreams::peer::HttpPeer;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::reserved::reserved;

/// How long an answer is used before the next lookup is started.
const FRESH: Duration = Duration::from_secs(5);
/// How long a failed lookup is believed.
const FAILED: Duration = Duration::from_secs(1);
/// More addresses of one name than that are not tried.
const MAX_ADDRESSES: usize = 8;

/// Turns an address into a peer that carries everything else of its server.
pub(super) type PeerFor = Arc<dyn Fn(SocketAddr) -> HttpPeer + Send + Sync>;

/// The peers of one server, in the resolver's order.
pub(super) struct Peers {
    all: Box<[HttpPeer]>,
    /// The one that was connected to last, so that a dead address is not waited for again and again.
    preferred: AtomicUsize,
    /// When a new lookup is due; `None`: never.
    due: Option<Instant>,
    /// Why there are none.
    problem: Option<String>,
}

impl Peers {
    fn new(addresses: &[SocketAddr], peer_for: &PeerFor, due: Option<Instant>) -> Self {
        let all = addresses.iter().take(MAX_ADDRESSES).map(|address| peer_for(*address)).collect();
        Self { all, preferred: AtomicUsize::new(0), due, problem: None }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// The preferred one first, each once.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (usize, &HttpPeer)> {
        let first = self.preferred.load(Ordering::Relaxed).min(self.all.len());
        let (before, after) = self.all.split_at(first);
        (first..).zip(after).chain((0..).zip(before))
    }

    pub(super) fn prefer(&self, index: usize) {
        if self.preferred.load(Ordering::Relaxed) != index {
            self.preferred.store(index, Ordering::Relaxed);
        }
    }

    /// What a finished lookup makes of what was known: a failure keeps the good answer.
    fn after(before: Option<&Self>, found: io::Result<Vec<SocketAddr>>, peer_for: &PeerFor, now: Instant) -> Self {
        match found {
            Ok(found) if !found.is_empty() => {
                let mut new = Self::new(&found, peer_for, Some(now + FRESH));
                let last_used = before.and_then(|old| old.all.get(old.preferred.load(Ordering::Relaxed)));
                let still_there =
                    last_used.and_then(|old| new.all.iter().position(|peer| peer._address == old._address));
                new.preferred = AtomicUsize::new(still_there.unwrap_or(0));
                new
            }
            other => {
                let problem = match other {
                    Ok(_) => "the name has no address".to_owned(),
                    Err(e) => e.to_string(),
                };
                let all: Box<[HttpPeer]> = before.map(|old| old.all.clone()).unwrap_or_default();
                let preferred = before.map_or(0, |old| old.preferred.load(Ordering::Relaxed));
                Self { all, preferred: AtomicUsize::new(preferred), due: Some(now + FAILED), problem: Some(problem) }
            }
        }
    }
}

/// How one server is found.
pub(super) enum Resolver {
    /// Its address was configured.
    Literal(Box<Peers>),
    /// Its name was.
    Name(Arc<Name>),
}

/// A name, and what is known of it.
pub(super) struct Name {
    host: String,
    port: u16,
    peer_for: PeerFor,
    known: ArcSwapOption<Peers>,
    looking: AtomicBool,
    found: Notify,
}

impl Resolver {
    pub(super) fn new(host: &str, port: u16, peer_for: PeerFor) -> Self {
        if let Ok(ip) = host.parse() {
            return Self::Literal(Box::new(Peers::new(&[SocketAddr::new(ip, port)], &peer_for, None)));
        }
        Self::Name(Arc::new(Name {
            host: host.to_owned(),
            port,
            peer_for,
            known: ArcSwapOption::empty(),
            looking: AtomicBool::new(false),
            found: Notify::new(),
        }))
    }
}

impl Name {
    /// What an earlier lookup found, while it is fresh.
    pub(super) fn known(&self, now: Instant) -> Option<Arc<Peers>> {
        self.known.load_full().filter(|peers| !peers.all.is_empty() && !peers.is_due(now))
    }

    /// At least one peer, or the resolver's words. Waits for a lookup only where nothing is known; the caller bounds it.
    pub(super) async fn peers(self: &Arc<Self>) -> Result<Arc<Peers>, String> {
        loop {
            let woken = self.found.notified();
            let known = self.known.load_full();
            let due = known.as_ref().is_none_or(|peers| peers.is_due(Instant::now()));
            if due {
                self.refresh();
            }
            match known {
                Some(peers) if !peers.all.is_empty() => return Ok(peers),
                Some(peers) if !due => return Err(peers.problem.clone().unwrap_or_default()),
                // Nothing known, or a failure that is too old to be believed.
                _ => woken.await,
            }
        }
    }

    /// Starts a lookup unless one is running. It outlives the request that started it: others wait for it, too.
    fn refresh(self: &Arc<Self>) {
        if self.looking.swap(true, Ordering::Acquire) {
            return;
        }
        let running = Running(Arc::clone(self));
        tokio::spawn(async move {
            let shared = &running.0;
            let found = tokio::net::lookup_host((shared.host.as_str(), shared.port)).await;
            let found = found.and_then(|found| permitted(&shared.host, found));
            let before = shared.known.load_full();
            let after = Peers::after(before.as_deref(), found, &shared.peer_for, Instant::now());
            shared.known.store(Some(Arc::new(after)));
        });
    }
}

/// What a name may lead to of what was found. Where nothing is left, that is a failed lookup, and says why.
fn permitted(host: &str, found: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    let mut refused = None;
    let keep = |address: &SocketAddr| match reserved(host, address.ip()) {
        Some(what) => {
            refused = Some(format!("the name leads to {}, which is {what}", address.ip()));
            false
        }
        None => true,
    };
    let kept: Vec<SocketAddr> = found.filter(keep).collect();
    match refused {
        Some(why) if kept.is_empty() => Err(io::Error::other(why)),
        Some(_) | None => Ok(kept),
    }
}

/// Ends a lookup also when its task is cancelled with its runtime.
struct Running(Arc<Name>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.looking.store(false, Ordering::Release);
        self.0.found.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer_for() -> PeerFor {
        Arc::new(|address| HttpPeer::new(address, false, String::new()))
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    fn order(peers: &Peers) -> Vec<String> {
        peers.in_order().map(|(_, peer)| peer._address.to_string()).collect()
    }

    #[tokio::test]
    async fn the_address_that_worked_comes_first_and_each_once() {
        let peers = Peers::new(&[address(1), address(2), address(3)], &peer_for(), None);
        assert_eq!(order(&peers), ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
        peers.prefer(1);
        assert_eq!(order(&peers), ["10.0.0.2:80", "10.0.0.3:80", "10.0.0.1:80"]);

        let moved = Ok(vec![address(9), address(2)]);
        let after = Peers::after(Some(&peers), moved, &peer_for(), Instant::now());
        assert_eq!(order(&after), ["10.0.0.2:80", "10.0.0.9:80"], "also after the next lookup");
    }

    #[tokio::test]
    async fn a_failed_lookup_keeps_the_last_good_answer() {
        let good = Peers::new(&[address(1)], &peer_for(), None);
        for failed in [Err(io::Error::other("SERVFAIL")), Ok(Vec::new())] {
            let after = Peers::after(Some(&good), failed, &peer_for(), Instant::now());
            assert_eq!(order(&after), ["10.0.0.1:80"]);
        }
        let never = Peers::after(None, Err(io::Error::other("SERVFAIL")), &peer_for(), Instant::now());
        assert_eq!((order(&never).len(), never.problem.as_deref()), (0, Some("SERVFAIL")));
    }

    #[test]
    fn a_name_does_not_lead_to_this_host() {
        let local = SocketAddr::from(([127, 0, 0, 1], 80));
        let found = |addresses: &[SocketAddr]| permitted("app.internal", addresses.iter().copied());
        assert_eq!(found(&[local, address(1)]).unwrap(), [address(1)]);
        let why = found(&[local]).unwrap_err().to_string();
        assert_eq!(why, "the name leads to 127.0.0.1, which is this host");
        assert_eq!(found(&[]).unwrap(), []);
        assert_eq!(permitted("localhost", [local].into_iter()).unwrap(), [local]);
        // A good answer outlives a bad one.
        let good = Peers::new(&[address(1)], &peer_for(), None);
        let after = Peers::after(Some(&good), found(&[local]), &peer_for(), Instant::now());
        assert_eq!(order(&after), ["10.0.0.1:80"]);
    }

    #[tokio::test]
    async fn a_name_is_looked_up_and_an_unknown_one_says_so() {
        let name = |host: &str| match Resolver::new(host, 80, peer_for()) {
            Resolver::Name(name) => name,
            Resolver::Literal(_) => unreachable!("{host} is a name"),
        };
        let known = name("localhost");
        let now = Instant::now();
        assert!(known.known(now).is_none(), "nobody has asked yet");
        assert!(known.peers().await.is_ok());
        assert!(known.known(now).is_some());
        assert!(known.known(now + FRESH + FRESH).is_none(), "another lookup is due");
        assert!(name("no-such-host.invalid").peers().await.is_err());
    }
}
