//! Handshakes take turns with everything else, and addresses with each other.
//!
//! A hello costs the relay more than ten requests do, so only a few are worked on between two rounds of the runtime. The others stand
//! in line, each address (of IPv6: the /64) in one place of it, however many connections it has: who comes for the first time
//! waits for one handshake of every address before it, not for all of them. Whoever comes from an address that has sent a genuine
//! request does not stand in line.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::sync::Semaphore;

use crate::base::limiter::{Limiter, Permit};
use crate::domain::source::network;

/// Handshakes that are worked on in one round, for each core.
const AT_ONCE: usize = 2;

/// The line.
#[derive(Debug)]
pub(super) struct HandshakeLimiter {
    limiter: Limiter,
    /// Whose handshakes are under way; bounded by the number of connections. One of each address stands in the line.
    of: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

impl Default for HandshakeLimiter {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { limiter: Limiter::new(AT_ONCE * cores), of: Mutex::default() }
    }
}

type Wait = Pin<Box<dyn Future<Output = Permit> + Send>>;

impl HandshakeLimiter {
    /// Drives `work` for a connection from this address to its end, one turn for each of its steps.
    pub(super) async fn take<F: Future>(&self, source: IpAddr, work: F) -> F::Output {
        let behind = self.enter(network(source));
        let mut work = pin!(work);
        let mut waiting: Option<Wait> = None;
        std::future::poll_fn(|context| self.step(&behind, work.as_mut(), &mut waiting, context)).await
    }

    fn step<F: Future>(
        &self,
        behind: &Behind<'_>,
        work: Pin<&mut F>,
        waiting: &mut Option<Wait>,
        context: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let wait = waiting.get_or_insert_with(|| {
            let (own, limiter) = (Arc::clone(&behind.own), self.limiter.clone());
            Box::pin(async move {
                let _first = own.acquire().await;
                limiter.next().await
            })
        });
        let _turn = ready!(wait.as_mut().poll(context));
        *waiting = None;
        work.poll(context)
    }

    fn enter(&self, source: IpAddr) -> Behind<'_> {
        let own = Arc::clone(self.addresses().entry(source).or_insert_with(|| Arc::new(Semaphore::new(1))));
        Behind { line: self, source, own }
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, Arc<Semaphore>>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection among those of its address.
struct Behind<'l> {
    line: &'l HandshakeLimiter,
    source: IpAddr,
    own: Arc<Semaphore>,
}

impl Drop for Behind<'_> {
    fn drop(&mut self) {
        let mut addresses = self.line.addresses();
        // The table's and this one; the lock keeps others from coming.
        if Arc::strong_count(&self.own) == 2 {
            addresses.remove(&self.source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::task::{JoinSet, yield_now};

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// Three addresses have eighty handshakes each, and somebody from a fourth one comes behind all of them.
    #[tokio::test]
    async fn who_comes_behind_many_of_few_addresses_waits_for_one_of_each() {
        let (line, worked) = (
            Arc::new(HandshakeLimiter { limiter: Limiter::new(1), ..HandshakeLimiter::default() }),
            Arc::new(AtomicUsize::new(0)),
        );
        let mut many = JoinSet::new();
        for number in 0..240 {
            let (line, worked) = (Arc::clone(&line), Arc::clone(&worked));
            let work = async move { worked.fetch_add(1, Ordering::Relaxed) };
            many.spawn(async move { line.take(address(number % 3), work).await });
        }
        yield_now().await;
        let before = worked.load(Ordering::Relaxed);
        let seen = line.take(address(9), async { worked.load(Ordering::Relaxed) }).await;
        assert!(seen - before <= 4, "{} were before it", seen - before);
        many.join_all().await;
        assert_eq!(worked.load(Ordering::Relaxed), 240);
        assert!(line.addresses().is_empty());
    }

    /// A wake-up while it stands in line is not lost, and who leaves the line leaves no trace.
    #[tokio::test]
    async fn steps_that_wait_go_on() {
        let line = Arc::new(HandshakeLimiter::default());
        let mut many = JoinSet::new();
        for number in 0..50 {
            let line = Arc::clone(&line);
            many.spawn(async move {
                let work = async {
                    for _ in 0..20 {
                        yield_now().await;
                    }
                };
                line.take(address(number % 5), work).await;
            });
        }
        let leaves = tokio::spawn({
            let line = Arc::clone(&line);
            async move { line.take(address(1), std::future::pending::<()>()).await }
        });
        yield_now().await;
        leaves.abort();
        many.join_all().await;
        let _ = leaves.await;
        assert!(line.addresses().is_empty());
    }
}
