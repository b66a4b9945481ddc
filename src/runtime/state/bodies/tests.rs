use std::future::poll_fn;
use std::task::Poll;

use super::*;

fn ip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

/// 160 bytes: an address has 10, all strangers have 120.
fn memory() -> BodyMemory {
    let memory = BodyMemory::default();
    memory.set_max(160, 1);
    memory
}

fn stranger<'m>(memory: &'m BodyMemory, last: u8) -> BodyShare<'m> {
    let mut share = memory.share();
    share.wait_unproven(ip(last), false);
    share
}

async fn is_evicted(share: &BodyShare<'_>) -> bool {
    tokio::select! { biased; () = share.evicted() => true, () = std::future::ready(()) => false }
}

/// Twelve addresses with their shares: what strangers have is full.
fn full(memory: &BodyMemory) -> Vec<Option<BodyShare<'_>>> {
    let fill = |last| {
        [5, 10].map(|_| {
            let mut share = stranger(memory, last);
            assert!(share.grow_to(5));
            Some(share)
        })
    };
    (1..=12).flat_map(fill).collect()
}

#[test]
fn the_budget_is_given_back_and_never_exceeded() {
    let memory = BodyMemory::default();
    memory.set_max(100, 1);
    let mut one = memory.share();
    assert!(one.grow_to(60));
    let mut two = memory.share();
    assert!(!two.grow_to(41));
    assert!(two.grow_to(40));
    assert_eq!(memory.used(), 100);
    drop(one);
    assert!(two.grow_to(100));
    drop(two);
    assert_eq!(memory.used(), 0);
}

#[test]
fn half_of_the_budget_is_kept_for_what_arrives() {
    let memory = BodyMemory::default();
    memory.set_max(100, 1);
    let (mut one, mut two) = (memory.share(), memory.share());
    assert!(one.grow_in_plenty(50));
    assert!(!two.grow_in_plenty(1));
    assert_eq!(memory.used(), 50);
    assert!(two.grow_to(50));
}

#[test]
fn an_unproven_address_has_a_share_and_all_of_them_three_quarters() {
    let memory = memory();
    let mut one = stranger(&memory, 1);
    assert!(!one.grow_to(11) && one.grow_to(10));
    assert!(!stranger(&memory, 1).grow_to(1));
    let others: Vec<_> = (2..=12)
        .map(|last| {
            let mut share = stranger(&memory, last);
            assert!(share.grow_to(10));
            share
        })
        .collect();
    assert!(!stranger(&memory, 13).grow_to(1));
    let mut proven = memory.share();
    assert!(proven.grow_to(40), "the rest is for who has proven something");
    drop((one, others, proven));
    let unproven = memory.unproven();
    assert_eq!((memory.used(), unproven.bytes, unproven.of.len(), unproven.ranks.len()), (0, 0, 0, 0));
}

#[test]
fn one_request_always_fits_into_a_share() {
    assert_eq!(unproven_shares(1600, 10), (100, 1200));
    assert_eq!(unproven_shares(1600, 1000), (1000, 1200));
    assert_eq!(unproven_shares(1600, 1500), (1500, 1500));
    assert_eq!(unproven_shares(1600, 9999), (1600, 1600));
}

#[tokio::test]
async fn who_comes_evicts_the_oldest_of_the_address_that_has_most() {
    let memory = memory();
    let mut held = full(&memory);
    held.push(Some(stranger(&memory, 7)));
    let mut comes = stranger(&memory, 99);
    let mut grows = Box::pin(comes.grow_or_evict(3));
    poll_fn(|context| {
        assert!(grows.as_mut().poll(context).is_pending(), "as long as the evicted one is there");
        Poll::Ready(())
    })
    .await;
    for (place, share) in held.iter().enumerate() {
        assert_eq!(is_evicted(share.as_ref().unwrap()).await, place == 12, "{place}");
    }
    held[12] = None;
    assert!(grows.await);
    assert_eq!(memory.used(), 118);
}

#[tokio::test]
async fn a_known_address_is_evicted_after_all_others() {
    let memory = memory();
    let mut known: Vec<_> = (0..10).map(|_| memory.share()).collect();
    for share in &mut known {
        share.wait_unproven(ip(50), true);
        assert!(share.grow_to(1));
    }
    let mut one = stranger(&memory, 1);
    assert!(one.grow_to(10));
    let mut proven = memory.share();
    assert!(proven.grow_to(140));
    let mut grows = Box::pin(proven.grow_or_evict(141));
    let pending = poll_fn(|context| Poll::Ready(grows.as_mut().poll(context).is_pending())).await;
    assert!(pending);
    assert!(is_evicted(&one).await);
    drop(one);
    assert!(grows.await, "all of it is for who has proven something");
    for share in &known {
        assert!(!is_evicted(share).await);
    }
}

#[tokio::test]
async fn whose_body_is_there_is_not_evicted_and_who_would_be_next_is_refused() {
    let memory = memory();
    let mut held = full(&memory);
    for share in held.iter_mut().flatten().skip(2) {
        share.settle();
    }
    assert_eq!(memory.unproven().bytes, 10);
    let mut proven = memory.share();
    assert!(proven.grow_to(40));
    held[1] = None;
    let mut last = held[0].take().unwrap();
    assert!(last.grow_to(10));
    assert!(!last.grow_or_evict(11).await, "it would be the one to go");
    drop(last);
    assert!(!proven.grow_or_evict(51).await, "nobody's body is waited for");
    drop((held, proven));
    assert_eq!(memory.used(), 0);
}

#[tokio::test]
async fn two_that_evict_one_another_both_end() {
    let memory = BodyMemory::default();
    memory.set_max(10, 10);
    let (mut one, mut two) = (stranger(&memory, 1), stranger(&memory, 2));
    assert!(one.grow_to(5) && two.grow_to(5));
    let (mut third, mut fourth) = (stranger(&memory, 3), stranger(&memory, 4));
    let (a, b) = tokio::join!(
        async {
            let done = two.grow_or_evict(8).await;
            drop(two);
            done
        },
        async {
            let done = one.grow_or_evict(8).await;
            drop(one);
            done
        },
    );
    assert!(a != b || !a, "{a} {b}");
    assert!(third.grow_or_evict(5).await && fourth.grow_or_evict(5).await);
}
