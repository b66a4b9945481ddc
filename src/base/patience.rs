//! A time-out that costs nothing where there is nothing to wait for.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

/// Waits for the future, at most this long. Unlike `tokio::time::timeout` it reads no clock and makes no timer for a future
/// that is ready at once: most answers fit the socket's buffer, most bodies come with their head.
///
/// # Errors
/// The time passed first.
pub async fn within<F: Future>(patience: Duration, future: F) -> Result<F::Output, Elapsed> {
    by(|| Instant::now() + patience, future).await
}

/// The same until a moment, which is asked for only when there is something to wait for.
///
/// # Errors
/// The moment came first.
pub async fn by<F: Future>(moment: impl FnOnce() -> Instant, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let at_once = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
    match at_once {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => timeout_at(moment(), future).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_ready_needs_no_moment() {
        let ready = by(|| unreachable!("nothing was waited for"), std::future::ready(7)).await;
        assert_eq!(ready.ok(), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_ready_has_its_time_and_no_more() {
        let started = Instant::now();
        let slow = tokio::time::sleep(Duration::from_secs(2));
        assert!(within(Duration::from_secs(3), slow).await.is_ok());
        assert_eq!(started.elapsed(), Duration::from_secs(2));
        assert!(within(Duration::from_secs(3), std::future::pending::<()>()).await.is_err());
        assert_eq!(started.elapsed(), Duration::from_secs(5));
    }
}
