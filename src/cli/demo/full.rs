//! No room left on the disk: an answer that makes the sender try again, and never a false success.

use super::DemoError;
use super::act::{Kept, Played, Step, Steps, look, once};
use super::process::Process;
use super::provider::large_github;
use super::screen::Screen;
use super::stage::Stage;
use crate::cli::sender::{Request, new_id};
use crate::domain::Fault;

const PATH: &str = "/hooks/github";
/// More than the store of `second.toml` has room for.
const MOST: usize = 40;

/// Plays it with the relay of the act before.
pub(super) async fn full(stage: &mut Stage, relay: &mut Process, screen: &Screen) -> Result<Played, DemoError> {
    let mut steps = Steps::on(screen);
    let before = stage.application.count();
    stage.application.stop().await?;
    let mut requests = Vec::new();
    let (step, refused) = fill(stage, relay, &mut requests).await?;
    steps.over(step).await;
    steps.over(emptied(stage, relay, &mut requests, before).await?).await;
    if let Some(refused) = refused {
        steps.over(again(stage, relay, refused).await?).await;
    }
    Ok(steps.played(requests))
}

/// Sends until one is refused, and gives that one.
async fn fill(
    stage: &Stage,
    relay: &mut Process,
    requests: &mut Vec<Kept>,
) -> Result<(Step, Option<Request>), DemoError> {
    const DONE: &str = "The application is away; GitHub sends events of 1 MiB each";
    for _ in 0..MOST {
        let request = large_github(PATH, &new_id(), &stage.secrets.github);
        let kept = relay.send(PATH, request).await?;
        if kept.is_accepted() {
            requests.push(kept);
            continue;
        }
        let as_expected = kept.status == 503 && kept.verdict == Fault::StoreFull.code() && !requests.is_empty();
        let came = format!("{} answered 200 and stored, then {}: {}", requests.len(), kept.status, kept.verdict);
        return Ok((Step { done: DONE, came, as_expected }, Some(kept.request)));
    }
    Ok((Step { done: DONE, came: format!("{MOST} answered 200"), as_expected: false }, None))
}

async fn emptied(stage: &mut Stage, relay: &Process, requests: &mut [Kept], before: u64) -> Result<Step, DemoError> {
    let (empty, _) = relay.delivers_to(&mut stage.application).await?;
    look(requests, &stage.application);
    let all = requests.len();
    let as_expected = empty && once(requests) && stage.application.count() == before + all as u64;
    let came = match as_expected {
        true => format!("all {all} arrive: each once, byte for byte; the refused one does not"),
        false => format!("{} of {all} arrived once", requests.iter().filter(|kept| kept.arrived == 1).count()),
    };
    Ok(Step { done: "The application is back", came, as_expected })
}

async fn again(stage: &Stage, relay: &mut Process, refused: Request) -> Result<Step, DemoError> {
    let before = stage.application.count();
    let kept = relay.send(PATH, refused).await?;
    let as_expected = kept.is_accepted() && relay.delivers_all().await && stage.application.count() == before + 1;
    let came = match as_expected {
        true => "200, and it arrives: there is room again, without a restart".to_owned(),
        false => format!("{}: {}", kept.status, kept.verdict),
    };
    Ok(Step { done: "GitHub sends the refused event again", came, as_expected })
}
