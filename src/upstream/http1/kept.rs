//! HTTP/1.1 connections to one server that may serve again. They outlive a reload, with the server's condition; what the reload
//! changed of the server's address or TLS is no longer theirs, and they are closed.
//!
//! Each worker thread has a shelf of its own, so that a request takes and returns a connection without waiting for another
//! core. A thread whose shelf is empty looks at the others', without waiting for those either.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::wire::Wire;

const SHELVES: usize = 16;
/// On one shelf; past it the one that was idle longest is closed. As many as one core may well have under way at once, four
/// HTTP/2 connections of 128 streams each: below that, a busy relay would open a connection for nearly every request.
const SHELF_MAX: usize = 512;

/// Whom a connection was made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) struct Home {
    pub(in crate::upstream) address: SocketAddr,
    /// Everything of upstream, protocol and TLS settings that was agreed on or verified.
    pub(in crate::upstream) group: u64,
}

#[derive(Debug)]
struct Idle {
    wire: Wire,
    home: Home,
    until: Instant,
}

/// The connections of one server.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Kept {
    shelves: [Mutex<VecDeque<Idle>>; SHELVES],
}

impl Kept {
    /// The connection that was used last, to an address that still is the server's.
    pub(in crate::upstream) fn take(&self, now: Instant, leads_to: impl Fn(Home) -> bool) -> Option<(Wire, Home)> {
        let own = shelf();
        let others = (1..SHELVES).map(|step| (own + step) % SHELVES);
        for place in std::iter::once(own).chain(others) {
            let Ok(mut shelf) = self.shelves.get(place)?.try_lock() else { continue };
            while let Some(mut idle) = shelf.pop_back() {
                if idle.until > now && leads_to(idle.home) && idle.wire.is_quiet() {
                    return Some((idle.wire, idle.home));
                }
            }
        }
        None
    }

    pub(in crate::upstream) fn put(&self, wire: Wire, home: Home, until: Instant) {
        let Some(shelf) = self.shelves.get(shelf()) else { return };
        let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.push_back(Idle { wire, home, until });
        if shelf.len() > SHELF_MAX {
            shelf.pop_front();
        }
    }

    /// Closes what was idle for too long, and what the server has closed. Without it a connection that nobody asks for
    /// again would stay for ever.
    pub(in crate::upstream) fn sweep(&self, now: Instant) {
        for shelf in &self.shelves {
            let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            shelf.retain_mut(|idle| idle.until > now && idle.wire.is_quiet());
        }
    }
}

/// Threads get shelves in turn, as they first ask.
fn shelf() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHELVES;
    }
    MINE.with(|mine| *mine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    async fn pair() -> (TcpStream, TcpStream, Home) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
        (ours.unwrap(), theirs.unwrap().0, Home { address, group: 1 })
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn the_last_one_returned_is_the_first_one_taken() {
        let kept = Kept::default();
        let ((one, _one, home), (two, _two, _)) = (pair().await, pair().await);
        let second = two.local_addr().unwrap();
        kept.put(Wire::Clear(one), home, later());
        kept.put(Wire::Clear(two), home, later());
        let Some((Wire::Clear(taken), _)) = kept.take(Instant::now(), |_| true) else { panic!("nothing is kept") };
        assert_eq!(taken.local_addr().unwrap(), second);
        assert!(kept.take(Instant::now(), |_| false).is_none(), "an address that is no longer the server's");
        assert!(kept.take(Instant::now(), |_| true).is_none(), "it was closed, not put back");
    }

    #[tokio::test]
    async fn what_is_closed_talkative_or_old_is_not_given_out() {
        let kept = Kept::default();
        let (closed, theirs, home) = pair().await;
        drop(theirs);
        closed.readable().await.unwrap();
        kept.put(Wire::Clear(closed), home, later());
        let (talkative, mut theirs, home) = pair().await;
        theirs.write_all(b"x").await.unwrap();
        talkative.readable().await.unwrap();
        kept.put(Wire::Clear(talkative), home, later());
        let (old, _theirs, home) = pair().await;
        kept.put(Wire::Clear(old), home, Instant::now());
        assert!(kept.take(Instant::now(), |_| true).is_none());
    }

    #[tokio::test]
    async fn a_sweep_closes_what_nobody_will_ask_for() {
        let kept = Kept::default();
        let (good, _good, home) = pair().await;
        let (old, _old, _) = pair().await;
        kept.put(Wire::Clear(good), home, later());
        kept.put(Wire::Clear(old), home, Instant::now());
        kept.sweep(Instant::now());
        let left: usize = kept.shelves.iter().map(|shelf| shelf.lock().unwrap().len()).sum();
        assert_eq!(left, 1);
    }

    #[tokio::test]
    async fn a_shelf_has_a_bound_and_others_may_take_from_it() {
        let kept = Kept::default();
        let mut peers = Vec::new();
        for _ in 0..SHELF_MAX + 3 {
            let (ours, theirs, home) = pair().await;
            peers.push(theirs);
            kept.put(Wire::Clear(ours), home, later());
        }
        let left: usize = kept.shelves.iter().map(|shelf| shelf.lock().unwrap().len()).sum();
        assert_eq!(left, SHELF_MAX);
        let elsewhere =
            std::thread::scope(|scope| scope.spawn(|| kept.take(Instant::now(), |_| true).is_some()).join().unwrap());
        assert!(elsewhere);
    }
}
