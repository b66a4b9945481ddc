//! The wall clock is set, by an hour and by days, while the store is open and while it is not: nothing waits longer, nothing
//! overtakes, and no key is forgotten.

use std::sync::Arc;
use std::time::Duration;

use dmz_relay::base::UnixMillis;
use dmz_relay::guards::dedupe::DedupeKey;
use dmz_relay::store::{Early, Settlement, Store, Ticket, Wait};

use crate::rig::{NOW, Rig, accept, eventually, failed};

const HOUR: i64 = 3_600_000;
const MINUTE: Duration = Duration::from_secs(60);
const STEPS: [i64; 4] = [-HOUR, HOUR, -48 * HOUR, 48 * HOUR];

fn set(rig: &Rig, by: i64) {
    rig.clock.set(UnixMillis(rig.clock.now().0 + by));
}

async fn claim(store: &Store) -> Vec<Ticket> {
    let claimed = store.claim(&Arc::from("dastra"), 100, false, Early::Nothing).await.unwrap();
    claimed.iter().map(|claimed| claimed.ticket).collect()
}

#[tokio::test]
async fn what_waits_is_due_after_its_pause_and_in_its_order_however_the_clock_is_set() {
    for step in STEPS {
        for restart in [false, true] {
            let rig = Rig::new();
            let mut store = rig.open();
            let mut tickets = Vec::new();
            for _ in 0..3 {
                tickets.push(store.accept(accept(NOW, None)).await.unwrap());
            }
            for ticket in &tickets {
                store
                    .settle(*ticket, Settlement::Again(failed(1), Wait::until(rig.clock.now().plus(MINUTE))))
                    .await
                    .unwrap();
            }
            if restart {
                drop(store);
                set(&rig, step);
                store = rig.open();
            } else {
                set(&rig, step);
            }
            assert_eq!(store.backlog("dastra").next_due, Some(rig.clock.now().plus(MINUTE)), "{step} {restart}");
            assert!(claim(&store).await.is_empty(), "{step} {restart}: before its time");
            rig.clock.advance(MINUTE);
            let now = rig.clock.now();
            let new = store.accept(accept(now, Some(now))).await.unwrap();
            tickets.push(new);
            assert_eq!(claim(&store).await, tickets, "{step} {restart}");
        }
    }
}

#[tokio::test]
async fn the_time_that_a_request_has_been_waiting_is_real_time() {
    for step in STEPS {
        let rig = Rig::new();
        let store = rig.open();
        store.accept(accept(NOW, Some(NOW))).await.unwrap();
        rig.clock.advance(MINUTE);
        set(&rig, step);
        let claimed = store.claim(&Arc::from("dastra"), 1, false, Early::Nothing).await.unwrap();
        assert_eq!(claimed[0].allowance_from, rig.clock.now().minus(MINUTE), "{step}");
    }
}

#[tokio::test]
async fn no_dedupe_key_is_forgotten_before_its_window_has_passed_by_both_clocks() {
    for step in STEPS {
        let rig = Rig::new();
        let store = rig.open();
        store.remember(DedupeKey::new("dastra", "secret", "a"), NOW.plus(10 * MINUTE), &Arc::from("dastra"));
        store.flush().await.unwrap();
        set(&rig, step);
        let commits = store.status().commits;
        // Upkeep of a second's rhythm has looked at it.
        store.put("test", "dastra", 0, vec![1]);
        eventually("upkeep came round", async || {
            store.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            store.status().commits > commits + 15
        })
        .await;
        drop(store);
        // While it is set, and when it is set back.
        for back in [0, -step] {
            set(&rig, back);
            let (store, recovered) = rig.reopen();
            assert_eq!(recovered.dedupe.len(), 1, "{step} {back}: forgotten");
            let until = recovered.dedupe[0].until;
            let now = rig.clock.moment();
            assert!(until.steady >= now.steady + 599 && until.wall == NOW.plus(10 * MINUTE), "{until:?} {now:?}");
            drop(store);
        }
        rig.clock.advance(11 * MINUTE);
        assert!(rig.reopen().1.dedupe.is_empty());
    }
}
