//! The whole promise as one story, on the real binary and with its command line: the inside is down for a while under load
//! from the three systems; every sender is answered 200 in time; the inside comes back and gets every request once, in
//! order where that was asked for; one is redelivered by an operator, one dead letter retried; and all of it can be looked up.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests fail loudly, and a test binary has no outside"
)]

#[path = "../crash/faults.rs"]
#[allow(dead_code, reason = "shared with tests/crash, which uses all of it")]
mod faults;
#[path = "../crash/inside.rs"]
#[allow(dead_code, reason = "shared with tests/crash, which uses all of it")]
mod inside;
#[path = "../crash/relay.rs"]
#[allow(dead_code, reason = "shared with tests/crash, which uses all of it")]
mod relay;
#[path = "../crash/senders.rs"]
#[allow(dead_code, reason = "shared with tests/crash, which uses all of it")]
mod senders;
#[path = "../crash/verdict.rs"]
#[allow(dead_code, reason = "shared with tests/crash, which uses all of it")]
mod verdict;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use inside::{Arrival, Inside, Manner};
use relay::{Installation, LONG};
use senders::{Account, Sender, System};
use serde_json::Value;

/// As an operator would write them; only the waits are short.
const ROUTES: &str = r#"
[routes.oktave]
path = "/hooks/oktave"
provider = "oktave"
secrets = [{ file = "oktave" }]
upstream = "inside"
delivery = "queue"
keep_body = true
retry = { first = "20ms", max = "100ms" }

[routes.dastra]
path = "/hooks/dastra"
provider = "dastra"
secrets = [{ file = "dastra" }]
allow = ["@dastra"]
upstream = "inside"
retry = { first = "20ms", max = "100ms", attempts = 4 }

[routes.octolis]
path = "/hooks/octolis"
provider = "octolis"
secrets = [{ file = "octolis" }]
upstream = "inside"
delivery = "queue"
ordered = true
retry = { first = "20ms", max = "100ms" }
"#;

struct Story {
    installation: Installation,
    inside: Inside,
    account: Arc<Account>,
    senders: Vec<Sender>,
}

impl Story {
    fn begin() -> Self {
        let (inside, installation, account) = (Inside::start(1), Installation::new(), Arc::new(Account::default()));
        let path = installation.store().join("relay.db");
        let store = format!("[store]\nsqlite = {{ path = \"{}\" }}\n", path.display());
        installation.configure(&inside.address, ROUTES, &store);
        let systems = [System::Oktave, System::Dastra, System::Octolis];
        let senders = systems.iter().cycle().take(9).enumerate();
        let senders = senders.map(|(number, system)| Sender::new(*system, number, &account)).collect();
        Self { installation, inside, account, senders }
    }

    /// All senders at once, until so many more requests were answered 200.
    fn load(&mut self, address: &str, more: u32) {
        let over = &AtomicBool::new(false);
        let enough = self.account.acknowledged() + more;
        std::thread::scope(|scope| {
            for sender in &mut self.senders {
                scope.spawn(move || sender.keep_sending(address, || over.load(Ordering::SeqCst)));
            }
            let came = self.account.until(enough, LONG);
            over.store(true, Ordering::SeqCst);
            assert!(came, "{} answers of {enough}", self.account.acknowledged());
        });
    }

    /// Every event was taken inside exactly once.
    fn all_arrived(&self) {
        let lost = verdict::lost(&self.account, &self.inside, LONG);
        assert!(lost.is_empty(), "acknowledged and not delivered: {lost:?}");
        let verdict = verdict::judge(&self.account, &self.inside);
        assert_eq!((verdict.duplicates, verdict.acknowledged), (0, verdict.sent), "{verdict:?}");
        assert!(verdict.others.is_empty(), "{verdict:?}");
    }

    fn last(&self, condition: impl Fn(&Arrival) -> bool) -> Arrival {
        self.inside.arrivals().into_iter().rfind(|arrival| condition(arrival)).expect("it arrived")
    }

    /// A command that must succeed; what it says.
    #[track_caller]
    fn says(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.installation.command(arguments);
        assert_eq!(code, 0, "{arguments:?}:\n{out}\n{err}");
        out
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let said = self.says(&[arguments, &["--format", "json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{arguments:?}: {error} in {said}"))
    }

    /// Rows of `events list`.
    #[track_caller]
    fn list(&self, filters: &[&str]) -> Vec<Value> {
        self.json(&[&["events", "list"], filters].concat())["events"].as_array().unwrap().clone()
    }
}

/// Asks again until there is an answer; each question is a process of its own.
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < LONG, "in vain: {what}");
    }
}

#[test]
fn an_outage_costs_nothing() {
    let mut story = Story::begin();
    let mut relay = story.installation.start(None);
    let address = relay.address().unwrap();

    // Everything is well, then nothing inside answers well for a while.
    story.load(&address, 60);
    story.inside.behave(Manner::DOWN);
    story.load(&address, 120);
    assert!(!story.list(&["--state", "waiting", "--route", "oktave"]).is_empty(), "what waits is listed");
    // The relay is restarted in the middle of it, as an operator under pressure does.
    relay.stop();
    relay = story.installation.start(None);
    let address = relay.address().unwrap();
    story.load(&address, 120);
    assert!(!verdict::missing(&story.account.told(), &story.inside.arrivals()).is_empty(), "there was no outage");
    story.inside.behave(Manner::WELL);
    story.all_arrived();
    story.load(&address, 60);
    story.all_arrived();

    redelivered_by_an_operator(&story);
    a_dead_letter_is_retried(&mut story, &address);

    relay.did_not_panic();
    relay.stop();
}

/// One request from the time of the outage is sent inward again because an operator says so.
fn redelivered_by_an_operator(story: &Story) {
    let rows = story.list(&["--route", "oktave", "--limit", "500", "--order", "asc"]);
    let sent = story.account.told().iter().filter(|told| told.system == System::Oktave).count();
    assert_eq!(rows.len(), sent, "the history has every request of the route");
    let row = rows.iter().find(|row| row["attempts"].as_u64() > Some(1)).expect("one that was tried more than once");
    let id = row["id"].as_str().unwrap();
    let before = story.last(|arrival| arrival.request_id == id);

    let report = story.json(&["events", "redeliver", id, "--yes"]);
    let again = story.last(|arrival| arrival.request_id == id);
    assert!(again.redelivery && again.attempt > before.attempt, "{report} {again:?}");
    assert_eq!((again.body, again.mark, again.received_at), (before.body, before.mark, before.received_at));

    let shown = story.json(&["events", "show", id]);
    let last = shown["history"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["kind"], &last["status"]), (&"redelivery".into(), &200.into()), "{shown}");
    let failed = shown["history"].as_array().unwrap().iter().filter(|attempt| !attempt["fault"].is_null()).count();
    assert!(failed > 0, "the attempts of the outage are shown: {shown}");
    let explained = story.says(&["explain", id]);
    assert!(explained.contains("✓ signature") && explained.contains("asked for by an operator"), "{explained}");
    for said in [shown.to_string(), explained, story.says(&["events", "show", id])] {
        assert!(!said.contains(&senders::secret("oktave")), "{said}");
    }
}

/// A request that the inside will not take becomes a dead letter; once the inside is mended it is sent again.
fn a_dead_letter_is_retried(story: &mut Story, address: &str) {
    assert_eq!(story.list(&["--state", "dead"]).len(), 0);
    story.inside.reject("dastra");
    let sender = story.senders.iter_mut().find(|sender| sender.system == System::Dastra).unwrap();
    assert_eq!(sender.send(address), Some(200));
    let mark = story.account.told().last().unwrap().mark.clone();
    let tried = |arrivals: &[Arrival]| arrivals.iter().filter(|arrival| arrival.mark == mark).count() == 4;
    assert!(story.inside.until(LONG, tried), "tried four times: {:?}", story.inside.arrivals());
    let id = story.last(|arrival| arrival.mark == mark).request_id;
    let dead = eventually("a dead letter", || Some(story.list(&["--state", "dead"])).filter(|dead| !dead.is_empty()));
    assert_eq!((dead.len(), dead[0]["id"].as_str()), (1, Some(id.as_str())), "{dead:?}");

    // As long as its body is there, each step can be judged again.
    let explained = story.says(&["explain", &id]);
    assert!(explained.contains("✓ signature") && explained.contains("answered 422"), "{explained}");

    story.inside.accept_everything();
    story.says(&["events", "retry", &id, "--yes"]);
    story.all_arrived();
    assert_eq!(story.last(|arrival| arrival.mark == mark).attempt, 5);
    // The inside has it a moment before the store knows.
    let shown = eventually("delivered", || {
        Some(story.json(&["events", "show", &id])).filter(|shown| shown["outcome"] == "delivered")
    });
    let attempts = shown["history"].as_array().unwrap();
    let statuses: Vec<_> = attempts.iter().map(|attempt| attempt["status"].clone()).collect();
    assert_eq!(statuses, [422, 422, 422, 422, 200].map(Value::from), "{shown}");
}
