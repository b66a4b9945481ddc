//! Rows of the history: written, found, paged.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dmz_relay::base::UnixMillis;
use dmz_relay::domain::{Class, Head, HistoryOutcome, Marks, Method, Own, Place, Refusal, Sensitive, Version};
use dmz_relay::store::{Cursor, Entry, Event, Page, Query, Settings, Store, StoreEvent};

use crate::rig::{NOW, Rig, accept, entry, eventually, head};

async fn ids(store: &Store, query: Query) -> Vec<Box<str>> {
    all(store, query).await.into_iter().map(|event| event.entry.request_id).collect()
}

/// Every page to the end.
async fn all(store: &Store, mut query: Query) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let Page { events: page, next } = store.page(query.clone(), Arc::default()).await.unwrap();
        events.extend(page);
        match next {
            Some(next) => query.after = Some(next),
            None => return events,
        }
    }
}

fn at(millis: i64) -> UnixMillis {
    UnixMillis(NOW.0 + millis)
}

#[tokio::test]
async fn a_row_comes_back_as_it_was() {
    let rig = Rig::new();
    let store = rig.open();
    let written =
        Entry { detail: Some("words".into()), reason: "upstream_reset", outcome: HistoryOutcome::Failed, ..entry(NOW) };
    store.record(written.clone());
    store.flush().await.unwrap();
    let event = store.event(&written.request_id).await.unwrap().unwrap();
    assert_eq!((event.entry.outcome.as_str(), &*event.reason, &*event.via), ("failed", "upstream_reset", "socket"));
    assert!(event.entry.head.as_ref().unwrap().headers().iter().eq(head().headers().iter()));
    let plain = |entry: Entry| {
        format!("{:?}", Entry { head: None, outcome: HistoryOutcome::Unknown, reason: "", via: "", ..entry })
    };
    assert_eq!(plain(event.entry), plain(written));
    assert!(!event.has_body && event.history.is_empty() && event.due.is_none());
}

#[tokio::test]
async fn what_never_became_a_request_has_a_row_too() {
    let rig = Rig::new();
    let store = rig.open();
    let bare = Entry {
        route: None,
        provider: None,
        head: None,
        method: Method::Other,
        version: Version::Http10,
        marks: Marks::default(),
        held: None,
        allowed_by: None,
        outcome: HistoryOutcome::Refused,
        reason: Refusal::HeadMalformed.code(),
        status: 400,
        key: None,
        dedupe: None,
        timestamp: None,
        upstream: None,
        server: None,
        upstream_status: None,
        source: "2001:db8::7".parse().unwrap(),
        ..entry(NOW)
    };
    let id = bare.request_id.clone();
    store.record(bare);
    store.flush().await.unwrap();
    let event = store.event(&id).await.unwrap().unwrap();
    assert!(event.entry.route.is_none() && event.entry.head.is_none() && event.entry.marks.is_empty());
    assert_eq!(event.entry.source.to_string(), "2001:db8::7");
    assert!(store.request(&id).await.unwrap().is_none(), "what is refused is never sent inward");
    assert!(store.event("nobody").await.unwrap().is_none());
    assert!(store.event(&id.replace('0', "1")).await.unwrap().is_none());
}

#[tokio::test]
async fn pages_go_through_everything_once_in_both_directions() {
    let rig = Rig::new();
    let store = rig.open();
    let mut written = Vec::new();
    for number in 0..257_i64 {
        // Several in a millisecond, accepted and refused ones among them.
        let row = match number % 4 {
            0 => Entry {
                outcome: HistoryOutcome::Refused,
                reason: "signature_mismatch",
                status: 401,
                ..entry(at(number / 8))
            },
            _ => entry(at(number / 8)),
        };
        written.push((row.received_at, row.request_id.clone()));
        store.record(row);
    }
    store.flush().await.unwrap();
    for ascending in [true, false] {
        let found = all(&store, Query { ascending, limit: 10, ..Query::default() }).await;
        let mut times: Vec<_> = found.iter().map(|event| event.entry.received_at).collect();
        if !ascending {
            times.reverse();
        }
        assert!(times.is_sorted());
        let mut ids: Vec<_> =
            found.into_iter().map(|event| (event.entry.received_at, event.entry.request_id)).collect();
        ids.sort();
        written.sort();
        assert_eq!(ids, written);
    }
}

#[tokio::test]
async fn a_cursor_stays_where_it_was_while_rows_are_added() {
    let rig = Rig::new();
    let store = rig.open();
    for number in 0..20 {
        store.record(entry(at(number)));
    }
    store.flush().await.unwrap();
    let first = store.page(Query { limit: 10, ..Query::default() }, Arc::default()).await.unwrap();
    for number in 20..40 {
        store.record(entry(at(number)));
    }
    store.flush().await.unwrap();
    let second = store.page(Query { limit: 10, after: first.next, ..Query::default() }, Arc::default()).await.unwrap();
    let times: Vec<_> = first.events.iter().chain(&second.events).map(|event| event.entry.received_at).collect();
    assert_eq!(times, (0..20).rev().map(at).collect::<Vec<_>>());
    assert!(second.next.is_none(), "that was all");
    let gone = Query { after: Some(Cursor(i64::MIN)), ..Query::default() };
    assert!(store.page(gone, Arc::default()).await.unwrap().events.is_empty());
}

#[tokio::test]
async fn every_condition_finds_what_it_names_and_nothing_else() {
    let rig = Rig::new();
    let store = rig.open();
    let ordinary = entry(at(0));
    let other = Entry {
        route: Some(Arc::from("oktave")),
        provider: Some(Arc::from("oktave")),
        outcome: HistoryOutcome::Failed,
        reason: "upstream_timeout",
        status: 504,
        dedupe: Some("id-2".into()),
        source: "198.51.100.9".parse().unwrap(),
        head: Some(Head::builder(Method::Post, Version::Http2).target("/Elsewhere").header("X-Tenant", "Acme").build()),
        ..entry(at(5000))
    };
    let (ordinary_id, other_id) = (ordinary.request_id.clone(), other.request_id.clone());
    store.record(ordinary);
    store.record(other);
    store.flush().await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let one = Query::default;
    let queries = [
        Query { route: text("oktave"), ..one() },
        Query { provider: text("oktave"), ..one() },
        Query { outcome: text("failed"), ..one() },
        Query { reason: text("upstream_timeout"), ..one() },
        Query { status: Some((500, 599)), ..one() },
        Query { dedupe: text("id-2"), ..one() },
        Query { request_id: Some(other_id.clone().into()), ..one() },
        Query { source: Some((address("198.51.100.0"), address("198.51.100.255"))), ..one() },
        Query { since: Some(at(5000)), ..one() },
        Query { text: text("acme"), ..one() },
        Query { text: text("x-tenant"), ..one() },
        Query { text: text("ELSEWHERE"), ..one() },
        Query { route: text("oktave"), text: text("acme"), status: Some((504, 504)), since: Some(at(1)), ..one() },
    ];
    for query in queries {
        assert_eq!(ids(&store, query.clone()).await, std::slice::from_ref(&other_id), "{query:?}");
    }
    assert_eq!(ids(&store, Query { until: Some(at(5000)), ..one() }).await, [ordinary_id]);
    let none = [
        Query { route: text("never configured"), ..one() },
        Query { route: text("oktave"), status: Some((200, 299)), ..one() },
        Query { request_id: text("no id"), ..one() },
        Query { source: Some((address("::"), address("ffff::"))), ..one() },
        Query { since: Some(at(10_000)), ..one() },
        Query { since: Some(at(10)), until: Some(at(10)), ..one() },
        Query { text: text("nowhere"), ..one() },
    ];
    for query in none {
        assert!(ids(&store, query.clone()).await.is_empty(), "{query:?}");
    }
}

#[tokio::test]
async fn what_verifies_a_request_is_not_searched() {
    let rig = Rig::new();
    let store = rig.open();
    let head = Head::builder(Method::Post, Version::Http11)
        .target("/hooks?sig=needle-in-query&plain=visible")
        .header("x-signature", "needle-in-header")
        .header("X-Plain", "seen")
        .build();
    let places = [(Class::Signature, Place::Field("X-Signature")), (Class::Signature, Place::Member("sig"))];
    let marks = Sensitive::new(places, Vec::new()).keep(&head, Some(&Own::default())).marks;
    // The marks of the day it came hold under a configuration that knows nothing of them.
    store.record(Entry { head: Some(head), marks, ..entry(NOW) });
    store.flush().await.unwrap();
    for (text, found) in [("needle", 0), ("visible", 1), ("seen", 1), ("x-signature", 1), ("sig", 1), ("=", 1)] {
        let query = Query { text: Some(text.to_owned()), ..Query::default() };
        assert_eq!(ids(&store, query).await.len(), found, "{text}");
    }
    // No piece of what stands behind a mask is found, whatever its length.
    let hidden = "needle-in-queryneedle-in-header";
    for text in (1..6).flat_map(|length| (0..hidden.len() - length).map(move |at| hidden.get(at..at + length).unwrap()))
    {
        // A line for each part: a text is not searched over the end of one.
        let shown = "/hooks\nsig=***&plain=visible\nx-signature\nx-plain\nseen";
        let query = Query { text: Some(text.to_owned()), ..Query::default() };
        assert_eq!(ids(&store, query).await.len(), usize::from(shown.contains(text)), "{text}");
    }
}

#[tokio::test]
async fn a_page_looks_at_a_bounded_part_and_goes_on() {
    let rig = Rig::new();
    let store = rig.open();
    store.record(Entry { dedupe: Some("the one".into()), ..entry(at(-1)) });
    for number in 0..21_000 {
        store.record(Entry { head: None, ..entry(at(number)) });
        if number % 5000 == 0 {
            store.flush().await.unwrap();
        }
    }
    store.flush().await.unwrap();
    assert_eq!(store.status().history_dropped, 0);
    let query = Query { dedupe: Some("the one".into()), ..Query::default() };
    let first = store.page(query.clone(), Arc::default()).await.unwrap();
    assert!(first.events.is_empty() && first.next.is_some());
    assert_eq!(ids(&store, query).await.len(), 1);
}

#[tokio::test]
async fn rows_that_strangers_bring_about_are_bounded_by_kind_and_the_rest_is_said() {
    let rig = Rig::new();
    let (store, _) = rig.try_open(&Settings { refusals_per_second: 8, ..rig.settings() }).unwrap();
    let refused = |reason| Entry { outcome: HistoryOutcome::Refused, reason, status: 404, ..entry(rig.clock.now()) };
    (0..10).for_each(|_| store.record(refused("route_unknown")));
    store.record(refused("signature_mismatch"));
    (0..10).for_each(|_| store.record(Entry { outcome: HistoryOutcome::Duplicate, head: None, ..entry(NOW) }));
    store.record(entry(NOW));
    rig.clock.advance(Duration::from_secs(1));
    store.record(refused("route_unknown"));
    store.flush().await.unwrap();
    let of = |outcome: &str| Query { outcome: Some(outcome.into()), ..Query::default() };
    assert_eq!(ids(&store, of("refused")).await.len(), 2 + 1 + 1, "one kind takes no more than its part");
    assert_eq!(ids(&store, of("duplicate")).await.len(), 2);
    assert_eq!(ids(&store, Query::default()).await.len(), 7);
    assert_eq!((store.status().rows_skipped, store.status().history_dropped), (8 + 8, 0));
    let newest = &store.page(Query { limit: 1, ..Query::default() }, Arc::default()).await.unwrap().events[0];
    assert_eq!(newest.entry.detail.as_deref(), Some("8 more of this kind before it have no row"));
    eventually("it is said", async || {
        rig.news.lock().unwrap().iter().any(|news| matches!(news, StoreEvent::RowsSkipped { .. }))
    })
    .await;
}

/// Two ids may meet in the bits that make the key.
#[tokio::test]
async fn rows_that_want_the_same_place_are_both_found() {
    let rig = Rig::new();
    let store = rig.open();
    let mut ids = Vec::new();
    for number in 0..20 {
        let id = format!("{:011x}{number:08x}00000007", NOW.0);
        store
            .accept(dmz_relay::store::Accept {
                entry: Entry { request_id: id.as_str().into(), ..accept(NOW, None).entry },
                ..accept(NOW, None)
            })
            .await
            .unwrap();
        ids.push(id);
    }
    for id in ids {
        assert_eq!(&*store.event(&id).await.unwrap().unwrap().entry.request_id, id);
        assert_eq!(&*store.request(&id).await.unwrap().unwrap().request_id, id);
    }
}

#[tokio::test]
async fn an_operator_reads_the_file_while_it_is_written() {
    let rig = Rig::new();
    let store = rig.open();
    store.record(entry(NOW));
    store.flush().await.unwrap();
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let reader = rusqlite::Connection::open_with_flags(rig.path(), flags).unwrap();
    let row: (String, String, String, u16) = reader
        .query_row("SELECT received, route, outcome, status FROM history", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap();
    assert_eq!(row, ("2023-11-14T22:13:20.000Z".into(), "dastra".into(), "delivered".into(), 200));
}
