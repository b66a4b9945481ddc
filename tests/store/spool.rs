//! Requests that wait: accepted, claimed, settled, revived, given up.

use std::sync::Arc;
use std::time::Duration;

use dmz_relay::base::UnixMillis;
use dmz_relay::domain::{Fault, HistoryOutcome, Sends};
use dmz_relay::guards::dedupe::DedupeKey;
use dmz_relay::store::{
    Accept, Attempt, AttemptKind, Backlog, Early, RefusedAt, Settlement, Store, Ticket, Unstored, Wait,
};

use crate::rig::{NOW, Rig, accept, attempt, eventually, failed, head};

fn route() -> Arc<str> {
    Arc::from("dastra")
}

async fn claim_one(store: &Store) -> (Ticket, u32) {
    let claimed = store.claim(&route(), 1, false, Early::Nothing).await.unwrap();
    assert_eq!(claimed.len(), 1);
    (claimed[0].ticket, claimed[0].attempt)
}

#[tokio::test]
async fn an_accepted_request_is_claimed_delivered_and_gone() {
    let rig = Rig::new();
    let store = rig.open();
    let accepted = accept(NOW, Some(NOW));
    let id = accepted.entry.request_id.clone();
    let ticket = store.accept(accepted).await.unwrap();
    let backlog = store.backlog("dastra");
    assert_eq!((backlog.waiting, backlog.claimed, backlog.next_due), (1, 0, Some(NOW)));
    assert_eq!(store.event(&id).await.unwrap().unwrap().due, Some(NOW));

    let claimed = store.claim(&route(), 10, false, Early::Nothing).await.unwrap().remove(0);
    assert_eq!((claimed.ticket, claimed.attempt, claimed.failures), (ticket, 1, 0));
    let request = claimed.request;
    assert_eq!((&*request.request_id, &*request.route, request.received_at), (&*id, "dastra", NOW));
    assert_eq!((request.source.to_string().as_str(), request.https, request.suffix), ("192.0.2.7", true, 3));
    assert_eq!(
        (&*request.body, request.key.as_deref(), request.dedupe.as_deref()),
        (&b"hello"[..], Some("current"), Some("id-1"))
    );
    assert_eq!((request.timestamp, claimed.allowance_from), (Some(NOW), NOW));
    assert!(request.head.headers().iter().eq(head().headers().iter()));
    assert_eq!((request.head.path(), request.head.query()), (head().path(), head().query()));
    assert_eq!(store.backlog("dastra").claimed, 1);
    assert_eq!(store.event(&id).await.unwrap().unwrap().due, None);

    store.settle(ticket, Settlement::Delivered(attempt(1))).await.unwrap();
    assert_eq!(store.backlog("dastra"), Backlog::default());
    assert!(store.backlogs().is_empty());
    let event = store.event(&id).await.unwrap().unwrap();
    assert_eq!(
        (event.entry.outcome.as_str(), event.has_body, event.entry.upstream_status),
        ("delivered", false, Some(204))
    );
    assert_eq!(event.entry.attempts, 1);
    assert!(event.history.is_empty(), "a first success is told by the row itself");
    assert!(store.request(&id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_body_stays_where_it_is_kept() {
    let rig = Rig::new();
    let store = rig.open();
    let accepted = Accept { keep_body: true, ..accept(NOW, None) };
    let id = accepted.entry.request_id.clone();
    let ticket = store.accept(accepted).await.unwrap();
    store.settle(ticket, Settlement::Delivered(attempt(1))).await.unwrap();
    assert_eq!(&*store.request(&id).await.unwrap().unwrap().body, b"hello");
    assert_eq!(store.event(&id).await.unwrap().unwrap().entry.body.as_deref(), Some(&b"hello"[..]));
}

#[tokio::test]
async fn the_oldest_come_first_and_none_before_its_time() {
    let rig = Rig::new();
    let store = rig.open();
    let later = NOW.plus(Duration::from_secs(60));
    let mut tickets = Vec::new();
    for due in [later, NOW, NOW] {
        tickets.push(store.accept(accept(NOW, Some(due))).await.unwrap());
    }
    assert!(tickets.is_sorted(), "tickets are in the order of acceptance");
    let claimed: Vec<_> =
        store.claim(&route(), 10, false, Early::Nothing).await.unwrap().iter().map(|c| c.ticket).collect();
    assert_eq!(claimed, tickets[1..]);
    assert_eq!(store.backlog("dastra").next_due, Some(later));
    rig.clock.advance(Duration::from_secs(60));
    assert_eq!(claim_one(&store).await.0, tickets[0]);
    assert!(store.claim(&route(), 10, false, Early::Nothing).await.unwrap().is_empty());
    assert!(store.claim(&Arc::from("nobody's"), 10, false, Early::Nothing).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_ordered_route_keeps_its_order_and_waits_for_its_head() {
    let rig = Rig::new();
    let store = rig.open();
    let mut tickets = Vec::new();
    for _ in 0..3 {
        tickets.push(store.accept(accept(NOW, Some(NOW))).await.unwrap());
    }
    let first = store.claim(&route(), 1, true, Early::Nothing).await.unwrap()[0].ticket;
    assert_eq!(first, tickets[0]);
    assert!(
        store.claim(&route(), 1, true, Early::Nothing).await.unwrap().is_empty(),
        "nothing overtakes what is on its way"
    );
    let hour = NOW.plus(Duration::from_secs(3600));
    store.settle(first, Settlement::Again(failed(1), Wait::until(hour))).await.unwrap();
    assert!(store.claim(&route(), 9, true, Early::Nothing).await.unwrap().is_empty(), "its head is not due");
    assert_eq!(store.backlog("dastra").next_due, Some(hour));
    rig.clock.advance(Duration::from_secs(3600));
    assert_eq!(store.claim(&route(), 1, true, Early::Nothing).await.unwrap()[0].ticket, tickets[0]);
    store.settle(first, Settlement::Dead(failed(2))).await.unwrap();
    let rest: Vec<_> = store.claim(&route(), 9, true, Early::Nothing).await.unwrap().iter().map(|c| c.ticket).collect();
    assert_eq!(rest, tickets[1..], "a dead letter holds nothing up");
}

#[tokio::test]
async fn attempts_are_counted_and_told() {
    let rig = Rig::new();
    let store = rig.open();
    let direct = Attempt { kind: AttemptKind::Direct, ..failed(1) };
    let accepted = Accept { tried: Some(direct.clone()), ..accept(NOW, Some(NOW)) };
    let id = accepted.entry.request_id.clone();
    let ticket = store.accept(accepted).await.unwrap();
    assert_eq!(claim_one(&store).await, (ticket, 2));
    store.settle(ticket, Settlement::Again(failed(2), Wait::until(NOW))).await.unwrap();
    assert_eq!(claim_one(&store).await, (ticket, 3));
    store.settle(ticket, Settlement::Released(NOW)).await.unwrap();
    assert_eq!(claim_one(&store).await, (ticket, 3), "what was not sent does not count");
    store.settle(ticket, Settlement::Delivered(attempt(3))).await.unwrap();
    let event = store.event(&id).await.unwrap().unwrap();
    assert_eq!(event.history, [direct, failed(2), attempt(3)]);
    assert_eq!((event.entry.attempts, event.entry.outcome.as_str()), (3, "delivered"));
}

/// Two numbers: one for the application, one for the allowance.
#[tokio::test]
async fn an_interrupted_attempt_is_taken_off_no_allowance() {
    let rig = Rig::new();
    let store = rig.open();
    let ticket = store.accept(accept(NOW, Some(NOW))).await.unwrap();
    let numbers = async |store: &Store| {
        let claimed = store.claim(&route(), 1, false, Early::Nothing).await.unwrap().remove(0);
        (claimed.attempt, claimed.failures)
    };
    assert_eq!(numbers(&store).await, (1, 0));
    drop(store);
    let store = rig.open();
    assert_eq!(numbers(&store).await, (1 + Sends::MOST, 0));
    drop(store);
    let store = rig.open();
    assert_eq!(numbers(&store).await, (1 + 2 * Sends::MOST, 0));
    store.settle(ticket, Settlement::Again(failed(3), Wait::until(NOW))).await.unwrap();
    assert_eq!(numbers(&store).await, (2 + 2 * Sends::MOST, 1));
    let uncounted = Wait { counts: false, ..Wait::until(NOW) };
    store.settle(ticket, Settlement::Again(failed(4), uncounted)).await.unwrap();
    assert_eq!(numbers(&store).await, (3 + 2 * Sends::MOST, 1));
}

fn refused(at: i64, due: UnixMillis) -> Wait {
    Wait { refused: Some(RefusedAt(at)), ..Wait::until(due) }
}

#[tokio::test]
async fn what_the_upstream_refused_is_taken_before_its_time_and_nothing_else_is() {
    let rig = Rig::new();
    let store = rig.open();
    let hour = NOW.plus(Duration::from_secs(3600));
    let mut tickets = Vec::new();
    for _ in 0..4 {
        tickets.push(store.accept(accept(NOW, None)).await.unwrap());
    }
    store.settle(tickets[0], Settlement::Again(failed(1), Wait::until(hour))).await.unwrap();
    for (ticket, at) in [(tickets[1], 9), (tickets[2], 5), (tickets[3], 7)] {
        store.settle(ticket, Settlement::Again(failed(1), refused(at, hour))).await.unwrap();
    }
    let claim = async |most, early| {
        let claimed = store.claim(&route(), most, false, early).await.unwrap();
        assert!(claimed.iter().all(|claimed| claimed.due == hour));
        claimed.iter().map(|claimed| claimed.ticket).collect::<Vec<_>>()
    };
    assert_eq!(claim(9, Early::Nothing).await, []);
    assert_eq!(claim(9, Early::Refused(RefusedAt(5))).await, []);
    assert_eq!(claim(9, Early::Refused(RefusedAt(8))).await, [tickets[2], tickets[3]], "refused longest ago first");
    assert_eq!(claim(9, Early::Probe).await, [tickets[1]]);
    assert_eq!(claim(9, Early::Probe).await, [], "one that failed by itself waits for its time");
    drop(store);
    let (_store, recovered) = rig.reopen();
    assert_eq!(recovered.last_refusal, Some(RefusedAt(9)));
}

#[tokio::test]
async fn what_waits_is_hastened_step_by_step_on_its_route_alone() {
    let rig = Rig::new();
    let store = rig.open();
    let hour = NOW.plus(Duration::from_secs(3600));
    for _ in 0..1234 {
        store.accept(accept(NOW, Some(hour))).await.unwrap();
    }
    assert_eq!(store.hasten(&Arc::from("another")).await.unwrap(), 0);
    assert_eq!(store.backlog("dastra").next_due, Some(hour));
    assert_eq!(store.hasten(&route()).await.unwrap(), 1234);
    assert_eq!(store.backlog("dastra").next_due, Some(NOW));
    assert_eq!(store.hasten(&route()).await.unwrap(), 0);
    assert_eq!(store.claim(&route(), 5, false, Early::Nothing).await.unwrap().len(), 5);
}

#[tokio::test]
async fn settling_twice_changes_nothing() {
    let rig = Rig::new();
    let store = rig.open();
    let ticket = store.accept(accept(NOW, None)).await.unwrap();
    store.settle(ticket, Settlement::Again(failed(1), Wait::until(NOW))).await.unwrap();
    let before = store.backlog("dastra");
    store.settle(ticket, Settlement::Delivered(attempt(1))).await.unwrap();
    store.settle(Ticket(77), Settlement::Delivered(attempt(1))).await.unwrap();
    assert_eq!(store.backlog("dastra"), before);
    assert_eq!(claim_one(&store).await, (ticket, 2));
}

#[tokio::test]
async fn a_dead_letter_waits_for_an_operator() {
    let rig = Rig::new();
    let store = rig.open();
    let accepted = accept(NOW, None);
    let id = accepted.entry.request_id.clone();
    let ticket = store.accept(accepted).await.unwrap();
    assert_eq!(store.revive(&id).await.unwrap(), None, "it is on its way");
    store.settle(ticket, Settlement::Dead(failed(1))).await.unwrap();
    let backlog = store.backlog("dastra");
    assert_eq!((backlog.waiting, backlog.claimed, backlog.dead), (0, 0, 1));
    assert_eq!((store.status().waiting, store.status().dead), (0, 1));
    assert_eq!(store.event(&id).await.unwrap().unwrap().entry.outcome.as_str(), "dead");
    assert!(store.claim(&route(), 10, false, Early::Nothing).await.unwrap().is_empty());

    rig.clock.advance(Duration::from_secs(5));
    assert_eq!(store.revive(&id).await.unwrap(), Some(route()));
    assert_eq!(store.revive("nobody").await.unwrap(), None);
    let claimed = store.claim(&route(), 1, false, Early::Nothing).await.unwrap().remove(0);
    assert_eq!((claimed.attempt, claimed.failures), (2, 0), "numbers go on, the allowance is fresh");
    assert_eq!(claimed.allowance_from, NOW.plus(Duration::from_secs(5)));
    store.settle(ticket, Settlement::Dead(failed(2))).await.unwrap();
    assert_eq!(store.discard(&id).await.unwrap(), Some(route()));
    assert_eq!(store.discard(&id).await.unwrap(), None);
    let event = store.event(&id).await.unwrap().unwrap();
    assert_eq!((event.entry.outcome.as_str(), event.has_body, event.history.len()), ("discarded", false, 2));
    assert_eq!(store.backlog("dastra"), Backlog::default());
}

#[tokio::test]
async fn what_is_given_up_on_its_way_leaves_when_it_comes_back() {
    let rig = Rig::new();
    let store = rig.open();
    for settlement in [
        Settlement::Again(failed(1), Wait::until(NOW)),
        Settlement::Dead(failed(1)),
        Settlement::Released(NOW),
        Settlement::Delivered(attempt(1)),
    ] {
        let taken = matches!(settlement, Settlement::Delivered(_));
        let accepted = accept(NOW, None);
        let id = accepted.entry.request_id.clone();
        let ticket = store.accept(accepted).await.unwrap();
        assert_eq!(store.discard(&id).await.unwrap(), Some(route()));
        store.settle(ticket, settlement).await.unwrap();
        let outcome = store.event(&id).await.unwrap().unwrap().entry.outcome;
        assert_eq!(outcome.as_str(), if taken { "delivered" } else { "discarded" });
        assert_eq!(store.backlog("dastra"), Backlog::default());
    }
}

#[tokio::test]
async fn a_waiting_request_can_be_given_up() {
    let rig = Rig::new();
    let store = rig.open();
    let accepted = accept(NOW, Some(NOW));
    let id = accepted.entry.request_id.clone();
    store.accept(accepted).await.unwrap();
    assert_eq!(store.discard(&id).await.unwrap(), Some(route()));
    assert!(store.claim(&route(), 1, false, Early::Nothing).await.unwrap().is_empty());
    assert_eq!(store.backlog("dastra"), Backlog::default());
}

#[tokio::test]
async fn a_redelivery_that_was_taken_makes_it_delivered() {
    let rig = Rig::new();
    let store = rig.open();
    let failed_before = dmz_relay::store::Entry {
        outcome: HistoryOutcome::Failed,
        reason: Fault::UpstreamConnect.code(),
        body: Some(b"hello".as_slice().into()),
        ..crate::rig::entry(NOW)
    };
    let id = failed_before.request_id.clone();
    store.record(failed_before);
    store.flush().await.unwrap();
    assert_eq!(&*store.request(&id).await.unwrap().unwrap().body, b"hello");
    let redelivery = |number, fault| Attempt { kind: AttemptKind::Redelivery, fault, ..attempt(number) };
    let first = store.reserve(&id).await.unwrap().unwrap();
    assert_eq!(first, 2, "a direct attempt came before");
    store.note(&id, redelivery(2, Some(Fault::UpstreamStatus)), first).await.unwrap();
    let event = store.event(&id).await.unwrap().unwrap();
    assert_eq!((event.entry.outcome.as_str(), &*event.reason), ("failed", "upstream_connect"));
    let first = store.reserve(&id).await.unwrap().unwrap();
    assert_eq!(first, 3, "what was not used is given back");
    store.note(&id, redelivery(3, None), first).await.unwrap();
    let event = store.event(&id).await.unwrap().unwrap();
    assert_eq!((event.entry.outcome.as_str(), &*event.reason, event.entry.attempts), ("delivered", "", 3));
    assert_eq!(event.history, [redelivery(2, Some(Fault::UpstreamStatus)), redelivery(3, None)]);
    assert_eq!(store.reserve("nobody").await.unwrap(), None);
    store.note("nobody", redelivery(1, None), 1).await.unwrap();
    // Two at once, and one that was never noted: no number is given twice.
    let one = store.reserve(&id).await.unwrap().unwrap();
    let other = store.reserve(&id).await.unwrap().unwrap();
    assert_eq!((one, other), (4, 4 + Sends::MOST));
    store.note(&id, redelivery(one, None), one).await.unwrap();
    assert_eq!(store.reserve(&id).await.unwrap(), Some(4 + 2 * Sends::MOST));
}

#[tokio::test]
async fn a_request_whose_caller_has_gone_is_due() {
    let rig = Rig::new();
    let store = rig.open();
    {
        // Handed in, and then nobody waits for it.
        let mut accepting = Box::pin(store.accept(accept(NOW, None)));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(accepting.as_mut().poll(&mut context).is_pending());
    }
    eventually("it is due", async || {
        let backlog = store.backlog("dastra");
        backlog.waiting == 1 && backlog.claimed == 0
    })
    .await;
    assert_eq!(claim_one(&store).await.1, 1, "nothing was sent, so nothing counts");
    store.flush().await.unwrap();
}

#[tokio::test]
async fn a_claim_that_nobody_waits_for_is_undone() {
    let rig = Rig::new();
    let store = rig.open();
    store.accept(accept(NOW, Some(NOW))).await.unwrap();
    {
        let route = route();
        let mut claiming = Box::pin(store.claim(&route, 1, false, Early::Nothing));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(claiming.as_mut().poll(&mut context).is_pending());
        store.flush().await.unwrap();
    }
    eventually("it is due", async || store.backlog("dastra").claimed == 0).await;
    assert_eq!(claim_one(&store).await.1, 1);
}

#[tokio::test]
async fn the_backlog_knows_its_oldest() {
    let rig = Rig::new();
    let store = rig.open();
    let later = NOW.plus(Duration::from_secs(9));
    let first = store.accept(accept(NOW, None)).await.unwrap();
    store.accept(accept(later, Some(later))).await.unwrap();
    assert_eq!(store.backlog("dastra").oldest, Some(NOW));
    assert_eq!(store.status().oldest_waiting, Some(NOW));
    store.settle(first, Settlement::Delivered(attempt(1))).await.unwrap();
    eventually("the oldest is looked up", async || store.backlog("dastra").oldest == Some(later)).await;
}

#[tokio::test]
async fn dedupe_keys_come_back_until_their_window_has_passed() {
    let rig = Rig::new();
    let store = rig.open();
    let until = |secs| NOW.plus(Duration::from_secs(secs));
    let key = |id| DedupeKey::new("dastra", "secret", id);
    let route = Arc::from("dastra");
    store.remember(key("a"), until(10), &route);
    store.remember(key("b"), until(100), &route);
    store.accept(Accept { dedupe: Some((key("c"), until(100))), ..accept(NOW, None) }).await.unwrap();
    drop(store);
    rig.clock.advance(Duration::from_secs(50));
    let found = rig.reopen().1.dedupe.into_iter();
    let mut found: Vec<_> = found.map(|kept| (kept.key, kept.until.wall, kept.route)).collect();
    found.sort_unstable();
    let mut expected = ["b", "c"].map(|id| (key(id), until(100), Some(Arc::clone(&route))));
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn small_facts_are_kept_and_replaced() {
    let rig = Rig::new();
    let store = rig.open();
    store.put("silence", "dastra", 1, b"old".to_vec());
    store.put("silence", "dastra", 1, b"new".to_vec());
    store.put("silence", "dastra", 2, b"two".to_vec());
    store.put("silence", "dastra", 3, vec![0; 5000]);
    store.put("budget", "dastra", 1, b"other".to_vec());
    store.flush().await.unwrap();
    drop(store);
    let store = rig.open();
    let values =
        async |kind| -> Vec<Vec<u8>> { store.values(kind).await.unwrap().into_iter().map(|kept| kept.value).collect() };
    assert_eq!(values("silence").await, [b"new".to_vec(), b"two".to_vec()]);
    assert_eq!(values("budget").await, [b"other".to_vec()]);
}

#[tokio::test]
async fn the_faults_are_the_pipelines() {
    assert_eq!(Fault::from(Unstored::Full), Fault::StoreFull);
    assert_eq!(Fault::from(Unstored::Failed), Fault::StoreFailed);
}
