//! Work that is ready in numbers takes turns with everything else.
//!
//! The runtime serves what is ready in the order in which it became so: behind a thousand pieces of work a webhook on a kept
//! connection would wait for all of them. Here only a few are begun between two rounds of the runtime, whatever their number; the
//! others wait in a line of their own.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;

/// The line.
#[derive(Clone, Debug)]
pub struct Limiter(Arc<Semaphore>);

/// A turn. The next one's comes when everything else that was ready at its end has had its own.
#[derive(Debug)]
pub struct Permit(Option<OwnedSemaphorePermit>);

impl Limiter {
    /// With so many at a time.
    pub fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }

    /// Waits for a turn, first come, first served.
    pub async fn next(&self) -> Permit {
        Permit(Arc::clone(&self.0).acquire_owned().await.ok())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Without a runtime nobody waits.
        if let (Some(permit), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move {
                yield_now().await;
                drop(permit);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A hundred are ready at once, and somebody comes behind them.
    #[tokio::test]
    async fn who_comes_behind_many_does_not_wait_for_all() {
        const AT_ONCE: usize = 2;
        let (turns, worked) = (Limiter::new(AT_ONCE), Arc::new(AtomicUsize::new(0)));
        let mut many = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (turns, worked) = (turns.clone(), Arc::clone(&worked));
            many.spawn(async move {
                let _turn = turns.next().await;
                worked.fetch_add(1, Ordering::Relaxed);
            });
        }
        let seen = tokio::spawn({
            let worked = Arc::clone(&worked);
            async move { worked.load(Ordering::Relaxed) }
        });
        let seen = seen.await.unwrap();
        assert!(seen <= 2 * AT_ONCE, "{seen} were before it");
        many.join_all().await;
        assert_eq!(worked.load(Ordering::Relaxed), 100);
    }
}
