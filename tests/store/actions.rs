//! Who did what: rows that lose to no request and take no request's room.

use dmz_relay::domain::ActionResult::{self, Done, Failed, Refused};
use dmz_relay::store::{Action, ActionQuery, Unstored};

use crate::rig::{NOW, Rig, accept, entry, settings};

fn action(action: &str, result: ActionResult) -> Action {
    Action {
        at: NOW,
        action: action.into(),
        result,
        status: 200,
        uid: Some(1001),
        user: Some("alice".into()),
        pid: Some(7),
        from: "unix socket".into(),
        request_id: None,
        count: None,
        detail: None,
        token: None,
    }
}

#[tokio::test]
async fn actions_are_read_as_they_were_written_and_outlive_the_process() {
    let rig = Rig::new();
    let store = rig.open();
    let export = Action { detail: Some("route=a".into()), token: Some("1-0".into()), ..action("export", Done) };
    let retry = Action { request_id: Some("1a".into()), user: None, pid: None, ..action("retry", Failed) };
    let signal = Action { uid: None, user: None, pid: None, from: "signal".into(), ..action("reload", Failed) };
    store.act(export.clone());
    store.act(signal.clone());
    store.act(retry.clone());
    for _ in 0..3 {
        store.count_for("1-0", 1);
    }
    store.count_for("2-0", 1);
    store.flush().await.unwrap();
    drop(store);
    let store = rig.open();
    let all = store.actions(ActionQuery::default()).await.unwrap();
    let export = Action { count: Some(3), ..export };
    assert_eq!(all.actions, [retry.clone(), signal.clone(), export.clone()], "the newest first");
    let found = async |query: ActionQuery| store.actions(query).await.unwrap().actions;
    let some = |text: &str| Some(text.to_owned());
    for (query, expected) in [
        (ActionQuery { action: some("retry"), ..ActionQuery::default() }, vec![&retry]),
        (ActionQuery { result: Some(Done), ..ActionQuery::default() }, vec![&export]),
        (ActionQuery { user: some("alice"), ..ActionQuery::default() }, vec![&export]),
        (ActionQuery { user: some("1001"), ..ActionQuery::default() }, vec![&retry, &export]),
        (ActionQuery { request_id: some("1a"), ..ActionQuery::default() }, vec![&retry]),
        (ActionQuery { until: Some(NOW), ..ActionQuery::default() }, vec![]),
        (ActionQuery { since: Some(NOW), ..ActionQuery::default() }, vec![&retry, &signal, &export]),
    ] {
        assert_eq!(found(query.clone()).await.iter().collect::<Vec<_>>(), expected, "{query:?}");
    }
    let first = store.actions(ActionQuery { limit: 1, ..ActionQuery::default() }).await.unwrap();
    assert_eq!(first.actions, [retry]);
    let next = store.actions(ActionQuery { before: first.next, ..ActionQuery::default() }).await.unwrap();
    assert_eq!((next.actions, next.next), (vec![signal, export], None));
}

#[tokio::test]
async fn who_is_refused_again_and_again_makes_no_other_action_go() {
    let rig = Rig::new();
    let store = rig.open();
    store.act(action("discard", Done));
    for _ in 0..3000 {
        store.act(action("retry", Refused));
    }
    store.act(Action { detail: Some("x".repeat(5000).into()), ..action("redeliver", Failed) });
    store.flush().await.unwrap();
    let count = async |result| {
        let query = ActionQuery { result: Some(result), limit: 1000, ..ActionQuery::default() };
        let page = store.actions(query).await.unwrap();
        (
            page.actions.len(),
            page.next.is_some(),
            page.actions.first().and_then(|one| one.detail.as_ref().map(|d| d.len())),
        )
    };
    assert_eq!(count(Done).await, (1, false, None));
    assert_eq!(count(Failed).await, (1, false, Some(200)), "a text is bounded");
    let query = ActionQuery { result: Some(Refused), limit: 1000, ..ActionQuery::default() };
    let page = store.actions(query.clone()).await.unwrap();
    let rest = store.actions(ActionQuery { before: page.next, ..query }).await.unwrap();
    assert_eq!(page.actions.len(), 1000);
    assert!(rest.actions.len() < 64, "{}", rest.actions.len());
}

#[tokio::test]
async fn an_action_has_room_where_no_request_has() {
    let rig = Rig::new();
    let settings = dmz_relay::store::Settings { disk_reserve: u64::MAX, ..settings(&rig.path()) };
    let (store, _) = rig.try_open(&settings).unwrap();
    assert_eq!(store.accept(accept(NOW, Some(NOW))).await, Err(Unstored::Full));
    store.record(entry(NOW));
    store.act(action("discard", Done));
    store.flush().await.unwrap();
    assert_eq!(store.actions(ActionQuery::default()).await.unwrap().actions.len(), 1);
}
