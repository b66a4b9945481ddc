//! What ends the wait for a next request: the deadline of an idle connection, and a relay that drains.
//!
//! A timer and a place among those who are notified that the relay drains take locks that connections share. So a connection keeps
//! both from one request to the next: the timer is moved when it rings too early, not when a request comes.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::super::Draining;

/// The two of them, for one connection.
pub(super) struct Idle<'p, B> {
    timer: Pin<&'p mut Sleep>,
    begun: Pin<&'p mut B>,
    draining: &'p Draining,
    /// What `begun` gave.
    last_call: Option<Instant>,
    /// Nothing has come yet. A sender that was let in before the drain has a request on its way, and would find a closed
    /// connection in place of an answer; so it is waited for until the last call.
    fresh: bool,
    /// Whom both of them wake.
    wakes: Option<Waker>,
}

impl<'p, B: Future<Output = Instant>> Idle<'p, B> {
    /// `begun` ends when `draining` does.
    pub(super) fn new(timer: Pin<&'p mut Sleep>, begun: Pin<&'p mut B>, draining: &'p Draining) -> Self {
        Self { timer, begun, draining, last_call: None, fresh: true, wakes: None }
    }

    /// Waits until something is `ready`, at most this long and, but for the first time, not while the relay drains. No clock is
    /// read where it is so at once.
    pub(super) async fn wait<T>(
        &mut self,
        patience: Duration,
        mut ready: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        let mut until = None;
        let waited = poll_fn(|context| match ready(context) {
            Poll::Ready(ready) => Poll::Ready(Some(ready)),
            Poll::Pending => {
                let until = *until.get_or_insert_with(|| Instant::now() + patience);
                if self.is_over(until, context) { Poll::Ready(None) } else { Poll::Pending }
            }
        })
        .await;
        self.fresh = false;
        waited
    }

    fn is_over(&mut self, until: Instant, context: &mut Context<'_>) -> bool {
        let is_told = self.wakes.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if is_told && self.timer.deadline() <= until && !self.timer.is_elapsed() && !self.draining.is_draining() {
            return false;
        }
        let until = match self.last_call(context) {
            Some(_) if !self.fresh => return true,
            Some(last_call) => until.min(last_call),
            None => until,
        };
        if self.timer.deadline() > until {
            self.timer.as_mut().reset(until);
        }
        while self.timer.as_mut().poll(context).is_ready() {
            if self.timer.deadline() == until {
                return true;
            }
            self.timer.as_mut().reset(until);
        }
        self.wakes = Some(context.waker().clone());
        false
    }

    fn last_call(&mut self, context: &mut Context<'_>) -> Option<Instant> {
        if self.last_call.is_none()
            && let Poll::Ready(last_call) = self.begun.as_mut().poll(context)
        {
            self.last_call = Some(last_call);
        }
        self.last_call
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use tokio::time::{advance, sleep};

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Requests that come in time move the end; the timer itself stays where it was until it rings.
    #[tokio::test(start_paused = true)]
    async fn the_wait_begins_anew_with_each_request() {
        let (_drain, draining) = Draining::channel();
        let mut told = draining.clone();
        let (timer, begun) = (pin!(sleep(PATIENCE)), pin!(told.begun()));
        let mut idle = Idle::new(timer, begun, &draining);
        for _ in 0..5 {
            let mut request = pin!(sleep(Duration::from_secs(7)));
            assert_eq!(idle.wait(PATIENCE, |context| request.as_mut().poll(context)).await, Some(()));
        }
        let started = Instant::now();
        assert_eq!(idle.wait(PATIENCE, |_| Poll::<()>::Pending).await, None);
        assert_eq!(started.elapsed(), PATIENCE);
    }

    /// A reload may have made the patience shorter than what the timer is set to.
    #[tokio::test(start_paused = true)]
    async fn less_patience_is_kept_too() {
        let (_drain, draining) = Draining::channel();
        let mut told = draining.clone();
        let (timer, begun) = (pin!(sleep(PATIENCE)), pin!(told.begun()));
        let mut idle = Idle::new(timer, begun, &draining);
        let started = Instant::now();
        assert_eq!(idle.wait(Duration::from_secs(2), |_| Poll::<()>::Pending).await, None);
        assert_eq!(started.elapsed(), Duration::from_secs(2));
    }

    /// Whoever waits is notified, also in a second wait, which did not register itself.
    #[tokio::test(start_paused = true)]
    async fn draining_ends_a_wait() {
        let (drain, draining) = Draining::channel();
        let waiting = tokio::spawn(async move {
            let mut told = draining.clone();
            let (timer, begun) = (pin!(sleep(PATIENCE)), pin!(told.begun()));
            let mut idle = Idle::new(timer, begun, &draining);
            let mut request = pin!(sleep(Duration::from_secs(1)));
            idle.wait(PATIENCE, |context| request.as_mut().poll(context)).await.unwrap();
            let started = Instant::now();
            assert_eq!(idle.wait(PATIENCE, |_| Poll::<()>::Pending).await, None);
            started.elapsed()
        });
        tokio::task::yield_now().await;
        advance(Duration::from_secs(3)).await;
        drain.begin(Duration::from_secs(60));
        assert!(waiting.await.unwrap() < PATIENCE);
    }

    /// A first request is waited for until the last call, and no longer than without a drain.
    #[tokio::test(start_paused = true)]
    async fn draining_does_not_end_the_first_wait_at_once() {
        for (within, patience, ends) in [(30, 10, 5), (18, 10, 3), (30, 2, 2), (0, 10, 0)].map(|of: (u64, u64, u64)| {
            (Duration::from_secs(of.0), Duration::from_secs(of.1), Duration::from_secs(of.2))
        }) {
            let (drain, draining) = Draining::channel();
            let mut told = draining.clone();
            let (timer, begun) = (pin!(sleep(PATIENCE)), pin!(told.begun()));
            let mut idle = Idle::new(timer, begun, &draining);
            drain.begin(within);
            let started = Instant::now();
            assert_eq!(idle.wait(patience, |_| Poll::<()>::Pending).await, None);
            assert_eq!(started.elapsed(), ends, "{within:?} {patience:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_request_that_comes_in_time_is_taken_while_draining() {
        let (drain, draining) = Draining::channel();
        let mut told = draining.clone();
        let (timer, begun) = (pin!(sleep(PATIENCE)), pin!(told.begun()));
        let mut idle = Idle::new(timer, begun, &draining);
        drain.begin(Duration::from_secs(60));
        let mut request = pin!(sleep(Duration::from_secs(4)));
        assert_eq!(idle.wait(PATIENCE, |context| request.as_mut().poll(context)).await, Some(()));
        assert_eq!(idle.wait(PATIENCE, |_| Poll::<()>::Pending).await, None);
    }
}
