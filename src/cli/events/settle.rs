//! `events retry` and `events discard`: dead letters wait again, what waits is tried now, or either is given up.

use super::bulk::Summary;
use super::choose::{agreed, matching, one};
use super::{Desk, event_path};
use crate::cli::grammar::Format;
use crate::cli::grammar::events::{Discard, Filters, Retry, State};
use crate::cli::terminal::{Palette, Progress, counted, tell};
use crate::cli::{Exit, Unusable, say_json};
use crate::control::admin::events::{Done, Retried};
use crate::scheme::form;

pub(super) async fn retry(args: &Retry, format: Format) -> Result<Exit, Unusable> {
    let mut desk = Desk::new(&args.relay)?;
    if args.waiting {
        return waiting(&mut desk, args, format).await;
    }
    if args.events.is_empty() && args.filters.is_empty() && !args.all_dead {
        let how = "name events, choose dead letters with filters, take every dead letter with --all-dead, or try what \
            waits now with --waiting";
        return Err(how.into());
    }
    let ids = chosen(&mut desk, &args.events, &args.filters).await?;
    if args.events.is_empty() && !ids.is_empty() && !agreed("Retry", ids.len(), args.yes)? {
        return Ok(Exit::No);
    }
    each(&mut desk, &ids, "/retry", "queued again", format).await
}

async fn waiting(desk: &mut Desk, args: &Retry, format: Format) -> Result<Exit, Unusable> {
    let others = Filters { route: None, ..args.filters.clone() };
    if !others.is_empty() {
        return Err("--waiting takes --route or --upstream, and no other filter".into());
    }
    let whose = [("route", &args.filters.route), ("upstream", &args.upstream)];
    let query = whose
        .into_iter()
        .find_map(|(name, value)| value.as_ref().map(|value| format!("?{name}={}", form::encode(value.as_bytes()))));
    let retried: Retried = desk.post(&format!("/api/v1/waiting/retry{}", query.unwrap_or_default())).await?;
    match format {
        Format::Json => say_json(&retried)?,
        Format::Human => {
            let count = usize::try_from(retried.waiting).unwrap_or(usize::MAX);
            let what = if count == 1 { "is tried now" } else { "are tried now" };
            tell(&format!("{} {what}\n", counted(count, "waiting request")));
        }
    }
    Ok(Exit::Fine)
}

pub(super) async fn discard(args: &Discard, format: Format) -> Result<Exit, Unusable> {
    let mut desk = Desk::new(&args.relay)?;
    if args.events.is_empty() && args.filters.is_empty() && !args.all_dead {
        let how = "name events, choose dead letters with filters (--route), or take every dead letter with --all-dead";
        return Err(how.into());
    }
    let ids = chosen(&mut desk, &args.events, &args.filters).await?;
    if !ids.is_empty() && !agreed("Discard", ids.len(), args.yes)? {
        return Ok(Exit::No);
    }
    each(&mut desk, &ids, "/discard", "discarded", format).await
}

/// Those that are named, or what the filters leave: dead letters, unless `--state` says otherwise.
async fn chosen(desk: &mut Desk, named: &[String], filters: &Filters) -> Result<Vec<String>, Unusable> {
    if named.is_empty() {
        let mut filters = filters.clone();
        filters.state.get_or_insert(State::Dead);
        return Ok(matching(desk, &filters, u64::MAX).await?.into_iter().map(|row| row.id).collect());
    }
    if !filters.is_empty() {
        return Err("name events or give filters, not both".into());
    }
    whole(desk, named).await
}

async fn whole(desk: &mut Desk, given: &[String]) -> Result<Vec<String>, Unusable> {
    let mut ids = Vec::with_capacity(given.len());
    for id in given {
        ids.push(one(desk, id).await?.row.id);
    }
    Ok(ids)
}

async fn each(desk: &mut Desk, ids: &[String], what: &str, word: &str, format: Format) -> Result<Exit, Unusable> {
    let mut summary = Summary::new(ids.len());
    let mut progress = Progress::new(ids.len() as u64);
    for (done, id) in (1..).zip(ids) {
        match desk.post::<Done>(&event_path(id, what)).await {
            Ok(_) => summary.done += 1,
            Err(refused) => {
                if !summary.refused(id, &refused) {
                    break;
                }
            }
        }
        progress.at(done);
    }
    drop(progress);
    match format {
        Format::Json => say_json(&summary)?,
        Format::Human => tell(&summary.text(word, Palette::of_stdout())),
    }
    Ok(if summary.is_fine() { Exit::Fine } else { Exit::No })
}
