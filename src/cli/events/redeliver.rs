//! `events redeliver`: stored requests are forwarded once more, one after the other, and each result is shown.

use std::fmt::Write as _;
use std::pin::pin;

use serde_json::json;

use super::bulk::Summary;
use super::choose::{agreed, matching, one};
use super::pace::Pace;
use super::{Desk, event_path};
use crate::cli::grammar::Format;
use crate::cli::grammar::events::Redeliver;
use crate::cli::terminal::{Palette, Progress, Tone, counted, harmless, tell};
use crate::cli::{Exit, Unusable, say_json};
use crate::control::admin::events::{EventRow, RedeliveryReport};

pub(super) async fn redeliver(args: &Redeliver, format: Format) -> Result<Exit, Unusable> {
    let mut pace = args.rate.as_deref().map(Pace::parse).transpose()?;
    let mut desk = Desk::new(&args.relay)?;
    let chosen = choose(&mut desk, args).await?;
    if args.dry_run {
        return dry_run(&chosen, format);
    }
    // Whoever names events means them; what filters chose is shown first.
    if args.events.is_empty() && !chosen.is_empty() {
        if format == Format::Human {
            tell(&plan(&chosen, Palette::of_stdout()));
        }
        if !agreed("Redeliver", chosen.iter().filter(|row| obstacle(row).is_none()).count(), args.yes)? {
            return Ok(Exit::No);
        }
    }
    let mut summary = Summary::new(chosen.len());
    let mut progress = Progress::new(chosen.len() as u64);
    let mut last = None;
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    for (done, row) in (1..).zip(&chosen) {
        if let Some(why) = obstacle(row).filter(|_| args.events.is_empty()) {
            summary.impossible(&row.id, why.code, why.text);
            continue;
        }
        let sending = async {
            if let Some(pace) = &mut pace {
                pace.step().await;
            }
            desk.post::<RedeliveryReport>(&event_path(&row.id, "/redeliver")).await
        };
        // What was sent when somebody interrupts is noted by the relay and not counted here.
        let sent = tokio::select! {
            sent = sending => sent,
            _ = &mut interrupted => {
                summary.stopped = Some("interrupted".into());
                break;
            }
        };
        match sent {
            Ok(report) => {
                summary.redelivered(&report);
                last = Some(report);
            }
            Err(refused) => {
                if !summary.refused(&row.id, &refused) {
                    break;
                }
            }
        }
        progress.at(done);
    }
    drop(progress);
    match (format, last) {
        (Format::Json, _) => say_json(&summary)?,
        (Format::Human, Some(report)) if chosen.len() == 1 => tell(&single(&report, Palette::of_stdout())),
        (Format::Human, _) => tell(&summary.text("delivered", Palette::of_stdout())),
    }
    Ok(if summary.is_fine() { Exit::Fine } else { Exit::No })
}

async fn choose(desk: &mut Desk, args: &Redeliver) -> Result<Vec<EventRow>, Unusable> {
    match (args.events.is_empty(), args.filters.is_empty()) {
        (true, true) => Err("name events, or choose them with filters such as --route and --since".into()),
        (false, false) => Err("name events or give filters, not both".into()),
        (true, false) => matching(desk, &args.filters, args.limit.unwrap_or(u64::MAX)).await,
        (false, true) => {
            let mut chosen = Vec::with_capacity(args.events.len());
            for id in &args.events {
                chosen.push(one(desk, id).await?.row);
            }
            Ok(chosen)
        }
    }
}

/// Why the relay would not send it.
struct Obstacle {
    code: &'static str,
    text: &'static str,
}

/// What a row tells already; the relay has the last word on the rest.
fn obstacle(row: &EventRow) -> Option<Obstacle> {
    let unverified = !row.outcome.may_be_genuine();
    match (unverified, row.state.is_some(), row.has_body) {
        (true, ..) => Some(Obstacle { code: "unverified", text: "it never passed verification" }),
        (_, true, _) if row.state.as_deref() == Some("dead") => {
            Some(Obstacle { code: "dead", text: "it is a dead letter: events retry makes it wait again" })
        }
        (_, true, _) => {
            Some(Obstacle { code: "waiting", text: "it waits for delivery: events retry --waiting tries it now" })
        }
        (_, _, false) => Some(Obstacle { code: "body_not_kept", text: "its body was not kept" }),
        (false, false, true) => None,
    }
}

fn plan(chosen: &[EventRow], palette: Palette) -> String {
    let mut text = String::new();
    let possible = chosen.iter().filter(|row| obstacle(row).is_none()).count();
    let (first, last) = (chosen.first(), chosen.last());
    let span = first.zip(last).map(|(first, last)| {
        format!(
            ", received from {} to {} UTC",
            super::short_time(&first.received_at),
            super::short_time(&last.received_at)
        )
    });
    let _ = writeln!(text, "{} match{}", counted(chosen.len(), "event"), span.unwrap_or_default());
    if possible < chosen.len() {
        let mut why = std::collections::BTreeMap::<_, usize>::new();
        for obstacle in chosen.iter().filter_map(obstacle) {
            *why.entry(obstacle.text).or_default() += 1;
        }
        for (text_of, count) in why {
            let _ = writeln!(text, "  {}", palette.paint(Tone::Odd, &format!("{count} will not be sent: {text_of}")));
        }
    }
    text
}

fn dry_run(chosen: &[EventRow], format: Format) -> Result<Exit, Unusable> {
    match format {
        Format::Json => {
            let ids: Vec<_> = chosen.iter().filter(|row| obstacle(row).is_none()).map(|row| &row.id).collect();
            say_json(&json!({ "matched": chosen.len(), "would_send": ids }))?;
        }
        Format::Human => {
            let palette = Palette::of_stdout();
            tell(&plan(chosen, palette));
            let sent: Vec<_> = chosen.iter().filter(|row| obstacle(row).is_none()).cloned().collect();
            if !sent.is_empty() {
                tell(&super::list::table(&sent, palette).text(palette));
            }
            tell(&format!("{} would be sent; nothing was\n", counted(sent.len(), "event")));
        }
    }
    Ok(Exit::Fine)
}

fn single(report: &RedeliveryReport, palette: Palette) -> String {
    let mut text = String::new();
    let server = report.server.as_deref().map_or_else(|| "nobody".to_owned(), harmless);
    let status = report.status.map(|status| format!(", answered {status}")).unwrap_or_default();
    let (attempt, took) = (report.attempt, report.took_ms);
    let _ = match &report.fault {
        None => {
            let word = palette.paint(Tone::Good, "delivered");
            writeln!(text, "{word} to {server}{status}, attempt {attempt}, in {took:.1} ms")
        }
        Some(fault) => {
            let word = palette.paint(Tone::Bad, "failed");
            let detail = report.detail.as_deref().map(|detail| format!(": {}", harmless(detail))).unwrap_or_default();
            writeln!(text, "{word} at {server}{status}, attempt {attempt}: {}{detail}", harmless(fault))
        }
    };
    let stamp = match report.timestamp_fresh {
        Some(true) => "its timestamp is still inside the provider's window",
        Some(false) => "its timestamp is too old for an application that checks again; sign_with helps",
        None => return text,
    };
    let tone = if report.timestamp_fresh == Some(true) { Tone::Quiet } else { Tone::Odd };
    let _ = writeln!(text, "{}", palette.paint(tone, stamp));
    text
}
