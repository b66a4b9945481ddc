//! Handshakes take turns with everything else.
//!
//! A hello costs the relay more than ten requests do, and the runtime serves what is ready in the order in which it became so: behind a
//! thousand hellos a webhook on a kept connection would wait for all of their arithmetic. Here only a few are worked on between two
//! rounds of the runtime, whatever their number; the others wait in a line of their own. Whoever comes from an address that has sent a
//! genuine request does not stand in it.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;

/// Handshakes that are worked on in one round, for each core.
const AT_ONCE: usize = 2;

/// The line.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self(Arc::new(Semaphore::new(AT_ONCE * cores)))
    }
}

type Turn = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

impl Turns {
    /// Drives `work` to its end, one turn for each of its steps.
    pub(super) async fn take<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        let mut waiting: Option<Turn> = None;
        std::future::poll_fn(move |context| self.step(work.as_mut(), &mut waiting, context)).await
    }

    fn step<F: Future>(
        &self,
        work: Pin<&mut F>,
        waiting: &mut Option<Turn>,
        context: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let turn = waiting.get_or_insert_with(|| {
            let line = Arc::clone(&self.0);
            Box::pin(async move { line.acquire_owned().await.ok() })
        });
        let permit = ready!(turn.as_mut().poll(context));
        *waiting = None;
        let done = work.poll(context);
        // The next one's turn comes when everything else that is ready has had its own.
        tokio::spawn(async move {
            yield_now().await;
            drop(permit);
        });
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A hundred handshakes are ready at once, and somebody with a request comes behind them.
    #[tokio::test]
    async fn who_comes_behind_many_does_not_wait_for_all() {
        let (turns, worked) = (Turns(Arc::new(Semaphore::new(AT_ONCE))), Arc::new(AtomicUsize::new(0)));
        let mut many = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (turns, worked) = (turns.clone(), Arc::clone(&worked));
            many.spawn(async move { turns.take(async { worked.fetch_add(1, Ordering::Relaxed) }).await });
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

    /// A wake-up while it stands in line is not lost.
    #[tokio::test]
    async fn steps_that_wait_go_on() {
        let turns = Turns::default();
        let mut many = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let turns = turns.clone();
            many.spawn(async move {
                turns
                    .take(async {
                        for _ in 0..20 {
                            yield_now().await;
                        }
                    })
                    .await;
            });
        }
        many.join_all().await;
    }
}
