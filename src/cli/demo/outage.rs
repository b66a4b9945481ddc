//! The application goes away while requests come, and comes back: what was answered success arrives, once and in order.
//!
//! Every step is compared with what it must be. What is said of it is what was seen: the senders' answers, the relay's
//! log, what the application got, and what the store says is left.

use std::time::{Duration, Instant};

use http::Method;

use super::DemoError;
use super::act::{Kept, Played, Step, Steps, look, once};
use super::provider::{Oktave, dastra, octolis};
use super::screen::Screen;
use super::stage::Stage;
use crate::cli::sender::{Request, Sender, new_id};
use crate::control::admin::client::Caller;
use crate::runtime::snapshot::AdminAddress;

/// Events that each of the two systems sends.
const EACH: usize = 4;
/// For what takes a second or two.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the store.
const LOOK: Duration = Duration::from_millis(5);
const DASTRA: &str = "/hooks/dastra";

/// The act under way.
pub(super) struct Act<'s> {
    stage: &'s mut Stage,
    sender: &'s mut Sender,
    /// What the application had before.
    before: u64,
    requests: Vec<Kept>,
}

/// Plays it.
pub(super) async fn outage(stage: &mut Stage, sender: &mut Sender, screen: &Screen) -> Result<Played, DemoError> {
    let mut act = Act::new(stage, sender);
    let mut steps = Steps::on(screen);
    steps.over(act.stops().await?).await;
    steps.over(act.senders_send().await?).await;
    steps.over(act.starts_again().await?).await;
    steps.over(act.fails_at_one().await?).await;
    steps.over(act.is_retried().await?).await;
    Ok(steps.played(act.requests))
}

impl<'s> Act<'s> {
    pub(super) fn new(stage: &'s mut Stage, sender: &'s mut Sender) -> Self {
        let before = stage.application.count();
        Self { stage, sender, before, requests: Vec::new() }
    }

    pub(super) async fn stops(&mut self) -> Result<Step, DemoError> {
        self.stage.application.stop().await?;
        let came = format!("nobody listens at http://{} any more", self.stage.application.address);
        Ok(Step { done: "The application stops", came, as_expected: true })
    }

    /// Both systems send, in turn. Each must receive its success, and the log must say that the request was stored.
    pub(super) async fn senders_send(&mut self) -> Result<Step, DemoError> {
        let began = Instant::now();
        let secrets = (self.stage.secrets.oktave.clone(), self.stage.secrets.dastra.clone());
        for _ in 0..EACH {
            let (event, attempt, at) = (new_id(), new_id(), self.stage.clock.now().secs());
            let oktave = Oktave { path: "/hooks/oktave", event: &event, attempt: &attempt, at };
            self.send("/hooks/oktave", oktave.request(&secrets.0)).await?;
            self.send(DASTRA, dastra(DASTRA, &new_id(), &secrets.1)).await?;
        }
        let all = self.requests.len();
        let good = self.requests.iter().filter(|kept| kept.is_accepted()).count();
        let came = match good == all {
            true => format!("{all} answered 200 within {} ms; each is on disk", began.elapsed().as_millis()),
            false => format!("{good} of {all} were answered 200 and stored"),
        };
        Ok(Step { done: "Oktave and Dastra send four events each", came, as_expected: good == all })
    }

    /// What was stored must arrive: each once, byte for byte, and those of the ordered route in their order.
    pub(super) async fn starts_again(&mut self) -> Result<Step, DemoError> {
        let began = Instant::now();
        self.stage.application.start_again()?;
        let expected = self.before + self.requests.len() as u64;
        // Until nothing is left that could still arrive, for the first or a second time.
        let empty = self.until(|waiting, _| waiting == 0).await;
        let took = began.elapsed().as_secs_f64();
        look(&mut self.requests, &self.stage.application);
        let all = self.requests.len();
        let once = self.requests.iter().filter(|kept| kept.arrived == 1).count();
        let whole = self.requests.iter().filter(|kept| kept.byte_for_byte).count();
        let in_order = self.in_order();
        let as_expected =
            empty && self.stage.application.count() == expected && once == all && whole == all && in_order;
        let came = match as_expected {
            true => format!("all {all} arrive within {took:.1} s: once, byte for byte, Dastra's in order"),
            false => format!(
                "{once} of {all} arrived once, {whole} byte for byte, Dastra's {}in order",
                if in_order { "" } else { "not " }
            ),
        };
        Ok(Step { done: "The application starts again", came, as_expected })
    }

    /// What the application never takes is a dead letter in the end, and is kept.
    pub(super) async fn fails_at_one(&mut self) -> Result<Step, DemoError> {
        const PATH: &str = "/hooks/octolis";
        self.stage.application.set_broken(true);
        let request = octolis("PUT", PATH, Some(&self.stage.secrets.octolis), Some("north"));
        self.send(PATH, request).await?;
        let accepted = self.requests.last().is_some_and(Kept::is_accepted);
        let dead = accepted && self.until(|_, dead| dead == 1).await;
        let came = match dead {
            true => "200; after two attempts it is a dead letter, and is kept".to_owned(),
            false => "it was not kept as a dead letter".to_owned(),
        };
        Ok(Step { done: "The application rejects what Octolis sends", came, as_expected: dead })
    }

    /// As `dmz-relay events retry` does, once the application is fixed.
    pub(super) async fn is_retried(&mut self) -> Result<Step, DemoError> {
        const DONE: &str = "The application is fixed; an operator retries the dead letter";
        self.stage.application.set_broken(false);
        let id = self.requests.last().map(|kept| kept.request_id.clone()).unwrap_or_default();
        let mut operator = Caller::new(AdminAddress::Unix(self.stage.admin.clone()));
        let asked = operator.ask(Method::POST, &format!("/api/v1/events/{id}/retry"), PATIENCE).await;
        let taken = asked.is_ok_and(|answer| answer.status == 200);
        let expected = self.before + self.requests.len() as u64;
        let empty = taken && self.until(|waiting, dead| waiting == 0 && dead == 0).await;
        look(&mut self.requests, &self.stage.application);
        let as_expected = empty && once(&self.requests) && self.stage.application.count() == expected;
        let came = if as_expected { "it arrives, once" } else { "it did not arrive once" };
        Ok(Step { done: DONE, came: came.to_owned(), as_expected })
    }

    async fn send(&mut self, path: &'static str, request: Request) -> Result<(), DemoError> {
        let reply = self.sender.send(&request).await.map_err(DemoError::Send)?;
        let request_id = reply.request_id.unwrap_or_default();
        let line = self.stage.journal.of_request(&request_id).await;
        let line = line.ok_or_else(|| DemoError::NoLogLine(request_id.clone()))?;
        let verdict = line.get("outcome").to_owned();
        let kept = Kept { path, status: reply.status, verdict, request_id, arrived: 0, byte_for_byte: false, request };
        self.requests.push(kept);
        Ok(())
    }

    /// Waits until the store has these numbers of waiting requests and dead letters; false when it does not come to that.
    async fn until(&self, fits: impl Fn(u64, u64) -> bool) -> bool {
        let Some(store) = self.stage.running.state().store() else { return false };
        let looking = async {
            loop {
                let backlogs = store.backlogs();
                let sum = |of: fn(&crate::store::Backlog) -> u64| backlogs.iter().map(|(_, backlog)| of(backlog)).sum();
                if fits(sum(|backlog| backlog.waiting), sum(|backlog| backlog.dead)) {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.is_ok()
    }

    /// Dastra's route is `ordered`.
    fn in_order(&self) -> bool {
        let sent = self.requests.iter().filter(|kept| kept.path == DASTRA).map(|kept| &kept.request_id);
        let arrived = self.stage.application.arrived();
        let arrived = arrived
            .iter()
            .map(|arrived| &arrived.request_id)
            .filter(|id| self.requests.iter().any(|kept| kept.path == DASTRA && kept.request_id == **id));
        sent.eq(arrived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::{Settings, play, show};
    use crate::cli::terminal::Palette;

    async fn stage() -> Stage {
        Stage::set(&Settings { once: true, port: None, slow: false, json: false }).await.unwrap()
    }

    async fn played(stage: &mut Stage) -> Played {
        let mut sender = play::sender(stage).unwrap();
        outage(stage, &mut sender, &Screen::mute()).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_lost() {
        let mut stage = stage().await;
        let outage = played(&mut stage).await;
        assert!(outage.as_expected, "{outage:?}");
        assert_eq!(outage.requests.len(), 2 * EACH + 1);
        stage.strike().await;
    }

    /// A relay that has no store loses what comes meanwhile, and the demo says so.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_relay_that_does_not_keep_is_noticed() {
        let mut stage = stage().await;
        stage.rewrite(|text| text.replace("ordered = true", "delivery = \"direct\"\nerror_budget = 1000")).await;
        let mut sender = play::sender(&stage).unwrap();
        let mut act = Act::new(&mut stage, &mut sender);
        act.stops().await.unwrap();
        let step = act.senders_send().await.unwrap();
        assert_eq!((step.as_expected, step.came.as_str()), (false, "4 of 8 were answered 200 and stored"));
        stage.strike().await;
    }

    /// Something that was accepted and never arrives is what the demo is there to show does not happen.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_lost_request_is_noticed() {
        let mut stage = stage().await;
        let mut sender = play::sender(&stage).unwrap();
        let mut act = Act::new(&mut stage, &mut sender);
        act.stops().await.unwrap();
        assert!(act.senders_send().await.unwrap().as_expected);
        let lost = act.requests.last().unwrap().request_id.clone();
        let store = act.stage.running.state().store().unwrap();
        assert!(store.discard(&lost).await.unwrap().is_some());
        let step = act.starts_again().await.unwrap();
        assert!(!step.as_expected && step.came.starts_with("7 of 8 arrived once"), "{step:?}");
        let text = show::step(&step, Palette::plain());
        assert!(text.contains('✗'), "{text}");
        stage.strike().await;
    }
}
