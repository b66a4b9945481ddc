//! `kill -9` while events wait: what was answered 200 is there after a restart, and arrives once.

use super::DemoError;
use super::act::{Kept, Played, Step, Steps, look, once};
use super::process::Process;
use super::provider::{github, stripe};
use super::screen::Screen;
use super::stage::Stage;
use crate::cli::sender::new_id;

const EACH: usize = 4;
const GITHUB: &str = "/hooks/github";
const STRIPE: &str = "/hooks/stripe";

/// Plays it with a relay that was just started, before an application that is away.
pub(super) async fn crash(stage: &mut Stage, relay: &mut Process, screen: &Screen) -> Result<Played, DemoError> {
    let mut steps = Steps::on(screen);
    let before = stage.application.count();
    stage.application.stop().await?;
    relay.start().await?;
    let mut requests = Vec::new();
    steps.over(send(stage, relay, &mut requests).await?).await;
    steps.over(killed(relay, &requests).await).await;
    steps.over(restarted(relay, requests.len()).await?).await;
    steps.over(delivered(stage, relay, &mut requests, before).await?).await;
    steps.over(repeated(stage, relay, &requests).await?).await;
    Ok(steps.played(requests))
}

async fn send(stage: &Stage, relay: &mut Process, requests: &mut Vec<Kept>) -> Result<Step, DemoError> {
    for _ in 0..EACH {
        let push = github(GITHUB, &new_id(), &new_id(), &stage.secrets.github);
        requests.push(relay.send(GITHUB, push).await?);
        let payment = stripe(STRIPE, &new_id(), 1999, stage.clock.now().secs(), &stage.secrets.stripe);
        requests.push(relay.send(STRIPE, payment).await?);
    }
    let (all, good) = (requests.len(), requests.iter().filter(|kept| kept.is_accepted()).count());
    let came = format!("{good} of {all} answered 200, each after it was safe on disk");
    Ok(Step {
        done: "The application is away; GitHub and Stripe send four events each",
        came,
        as_expected: good == all,
    })
}

async fn killed(relay: &mut Process, requests: &[Kept]) -> Step {
    let killed = relay.kill();
    let gone = match requests.first() {
        Some(kept) => relay.is_gone(&kept.request).await,
        None => false,
    };
    let came = match killed && gone {
        true => "the process ended at once; connections are refused",
        false => "the process did not end",
    };
    Step {
        done: "kill -9: the relay gets no chance to save anything",
        came: came.to_owned(),
        as_expected: killed && gone,
    }
}

async fn restarted(relay: &mut Process, all: usize) -> Result<Step, DemoError> {
    let took = relay.start().await?;
    let waiting = relay.waiting().await;
    let came = match waiting {
        Some(waiting) => format!("it serves after {} ms; {waiting} of {all} events wait", took.as_millis()),
        None => "it does not say what waits".to_owned(),
    };
    Ok(Step { done: "The relay is started again", came, as_expected: waiting == Some(all) })
}

async fn delivered(stage: &mut Stage, relay: &Process, requests: &mut [Kept], before: u64) -> Result<Step, DemoError> {
    let (empty, took) = relay.delivers_to(&mut stage.application).await?;
    look(requests, &stage.application);
    let all = requests.len();
    let as_expected = empty && once(requests) && stage.application.count() == before + all as u64;
    let came = match as_expected {
        true => format!("all {all} arrive within {} ms: each once, byte for byte", took.as_millis()),
        false => format!("{} of {all} arrived once", requests.iter().filter(|kept| kept.arrived == 1).count()),
    };
    Ok(Step { done: "The application is back", came, as_expected })
}

/// What was taken before the kill is still known.
async fn repeated(stage: &Stage, relay: &mut Process, requests: &[Kept]) -> Result<Step, DemoError> {
    let before = stage.application.count();
    let again = match requests.first() {
        Some(kept) => Some(relay.send(GITHUB, kept.request.clone()).await?),
        None => None,
    };
    let known = again.is_some_and(|again| again.status == 200 && again.verdict == "duplicate");
    let as_expected = known && stage.application.count() == before;
    let came = if as_expected { "200, known as a duplicate, not forwarded" } else { "it was not known any more" };
    Ok(Step { done: "GitHub sends one of them again", came: came.to_owned(), as_expected })
}
