//! Requests that wait: accepted, claimed, settled, and found again after a restart.

use std::sync::Arc;

use dmz_relay::store::Settlement;

use crate::rig::{NOW, Rig, accept, attempt, eventually};

#[tokio::test]
async fn an_accepted_request_is_claimed_delivered_and_gone() {
    let rig = Rig::new();
    let store = rig.open();
    let accepted = accept(NOW, Some(NOW));
    let id = accepted.entry.request_id.clone();
    let ticket = store.accept(accepted).await.unwrap();
    let backlog = store.backlog("dastra");
    assert_eq!((backlog.waiting, backlog.claimed, backlog.next_due), (1, 0, Some(NOW)));
    let claimed = store.claim(&Arc::from("dastra"), 10, false).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!((claimed[0].ticket, claimed[0].attempt), (ticket, 1));
    assert_eq!(&*claimed[0].request.body, b"hello");
    assert_eq!(store.backlog("dastra").claimed, 1);
    store.settle(ticket, Settlement::Delivered(attempt(1))).await.unwrap();
    assert_eq!(store.backlog("dastra"), dmz_relay::store::Backlog::default());
    let event = store.event(&id).await.unwrap().unwrap();
    assert_eq!((&*event.outcome, event.has_body, event.entry.upstream_status), ("delivered", false, Some(204)));
    assert!(event.history.is_empty());
}

#[tokio::test]
async fn a_request_that_was_on_its_way_is_due_again_after_a_restart() {
    let rig = Rig::new();
    let store = rig.open();
    store.accept(accept(NOW, None)).await.unwrap();
    assert_eq!(store.backlog("dastra").claimed, 1);
    drop(store);
    let (store, recovered) = rig.reopen();
    assert_eq!(recovered.interrupted, 1);
    let claimed = store.claim(&Arc::from("dastra"), 10, false).await.unwrap();
    assert_eq!(claimed[0].attempt, 2);
}

#[tokio::test]
async fn a_request_whose_caller_has_gone_is_due() {
    let rig = Rig::new();
    let store = rig.open();
    {
        let accepting = store.accept(accept(NOW, None));
        let mut accepting = Box::pin(accepting);
        // Handed in, and then nobody waits for it.
        assert!(futures_poll(&mut accepting));
    }
    eventually("it is due", async || {
        let backlog = store.backlog("dastra");
        backlog.waiting == 1 && backlog.claimed == 0
    })
    .await;
    let claimed = store.claim(&Arc::from("dastra"), 10, false).await.unwrap();
    assert_eq!((claimed.len(), claimed[0].attempt), (1, 1));
}

/// Polls once; `true`: it is pending.
fn futures_poll<F: Future + Unpin>(future: &mut F) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::Pin::new(future).poll(&mut context).is_pending()
}
