//! A panic is our bug. It must cost one request, not the process and not the requests beside it.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;

/// The future panicked.
#[derive(Debug)]
pub struct Panicked;

/// Runs a future; a panic in it becomes an error. The future is dropped unfinished, so its guards give back what they hold.
///
/// It comes in its box: one that is moved in here would be in memory twice. The process's panic hook logs and counts it.
///
/// # Errors
/// It panicked.
pub async fn catch_panic<F: Future + Unpin>(mut future: F) -> Result<F::Output, Panicked> {
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut future).poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => std::task::Poll::Ready(Err(Panicked)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error() {
        assert!(catch_panic(Box::pin(async { 1 })).await.is_ok());
        assert!(catch_panic(Box::pin(async { panic!("expected by this test") })).await.is_err());
    }
}
