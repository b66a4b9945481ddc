//! `explain`: why was this request taken or refused? For a stored one the running relay is asked; a captured one is judged
//! offline, by the steps that the relay judges with.

use std::fmt::Write as _;

use serde::Serialize;

use super::grammar::{Explain, Format};
use super::{Exit, Unusable, capture, say_json};
use crate::base::Clock;
use crate::cli::terminal::{Palette, Tone, harmless, tell};
use crate::domain::HistoryOutcome;
use crate::gate::explain::{EventExplanation, Explanation, Step, Subject, Sum, Verdict, explain as judge};

/// What `--request --format json` prints.
#[derive(Serialize)]
struct Captured {
    /// `taken`, `refused` or `unknown`.
    verdict: Sum,
    /// The code of the refusal.
    reason: Option<String>,
    /// Which form the capture had.
    form: String,
    /// What of the capture may be unlike the request that was sent.
    doubts: Vec<String>,
    /// RFC 3339.
    judged_at: String,
    #[serde(flatten)]
    explanation: Explanation,
}

pub(super) async fn explain(args: &Explain, format: Format) -> Result<Exit, Unusable> {
    match (&args.request, &args.id) {
        (Some(path), _) => captured(args, &capture::read(path)?, format),
        (None, Some(id)) => stored(args, id, format).await,
        (None, None) => Err("say an ID or --request FILE".into()),
    }
}

/// Offline.
fn captured(args: &Explain, bytes: &[u8], format: Format) -> Result<Exit, Unusable> {
    let captured = capture::parse(bytes, args.entry.as_deref())?;
    captured.warn(format);
    let loaded = args.relay.config.load_for_explaining()?;
    let at = args.at.unwrap_or_else(|| Clock::system().now());
    let subject = Subject {
        head: &captured.head,
        body: Some(&captured.body),
        source: args.source.map(|ip| ip.to_canonical()),
        at,
        listener: None,
        recorded: None,
    };
    let explanation = judge(&loaded.snapshot, &subject);
    let (verdict, judged_at) = (explanation.sum(), at.to_string());
    match format {
        Format::Json => say_json(&Captured {
            verdict,
            reason: explanation.refusal().map(|step| step.reason.to_string()),
            form: captured.form,
            doubts: captured.doubts,
            judged_at,
            explanation,
        })?,
        Format::Human => {
            let palette = Palette::of_stdout();
            let text = format!("{}{}", headline(&explanation, palette), steps(&explanation, palette));
            tell(&format!(
                "{text}{}",
                palette.item("  ", Tone::Plain, &format!("judged at {judged_at}, from {}", captured.form))
            ));
        }
    }
    Ok(exit(verdict))
}

/// By the running relay.
async fn stored(args: &Explain, id: &str, format: Format) -> Result<Exit, Unusable> {
    let event = super::events::explanation(&args.relay, id).await?;
    match format {
        Format::Json => say_json(&event)?,
        Format::Human => tell(&text(&event, Palette::of_stdout())),
    }
    Ok(event.then.as_ref().map_or(Exit::No, |then| exit(then.sum())))
}

fn exit(sum: Sum) -> Exit {
    match sum {
        Sum::Taken => Exit::Fine,
        Sum::Refused => Exit::No,
        Sum::Unknown => Exit::Unusable,
    }
}

fn text(event: &EventExplanation, palette: Palette) -> String {
    let mut text = String::new();
    let tone = match event.outcome {
        HistoryOutcome::Refused | HistoryOutcome::Undecided | HistoryOutcome::Failed | HistoryOutcome::Dead => {
            Tone::Bad
        }
        HistoryOutcome::Accepted
        | HistoryOutcome::Discarded
        | HistoryOutcome::ClientClosed
        | HistoryOutcome::Unknown => Tone::Odd,
        HistoryOutcome::Delivered | HistoryOutcome::Challenge | HistoryOutcome::Duplicate => Tone::Good,
    };
    let reason = event.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let word = palette.paint(tone, &harmless(&format!("{}{reason}", event.outcome)));
    let answered =
        if event.status == 0 { "nobody was left to answer".to_owned() } else { format!("answered {}", event.status) };
    let _ = writeln!(text, "{word}, {answered}, received {}", harmless(&event.received_at));
    if let Some(then) = &event.then {
        text.push_str(&steps(then, palette));
    }
    for note in &event.notes {
        text.push_str(&palette.item(
            &format!("  {} ", palette.paint(Tone::Odd, "note:")),
            Tone::Plain,
            &harmless(note),
        ));
    }
    if let Some(today) = &event.today {
        let _ = write!(text, "judged today: {}", headline(today, palette));
        let differs = |step: &&Step| {
            let same =
                |then: &Step| then.check == step.check && then.verdict == step.verdict && then.reason == step.reason;
            !event.then.as_ref().is_some_and(|then| then.steps.iter().any(same))
        };
        let changed = Explanation { steps: today.steps.iter().filter(differs).cloned().collect(), ..today.clone() };
        text.push_str(&steps(&changed, palette));
    }
    if !event.afterwards.is_empty() {
        let _ = writeln!(text, "afterwards");
    }
    for line in &event.afterwards {
        text.push_str(&palette.item("  ", Tone::Plain, &harmless(line)));
    }
    text
}

/// `would be refused: signature_mismatch`.
fn headline(explanation: &Explanation, palette: Palette) -> String {
    let route = explanation.route.as_ref().map_or_else(String::new, |route| format!(" by route {}", harmless(route)));
    match (explanation.sum(), explanation.refusal()) {
        (Sum::Refused, Some(step)) => {
            format!("{}{route}\n", palette.paint(Tone::Bad, &format!("would be refused: {}", harmless(&step.reason))))
        }
        (Sum::Unknown, _) => {
            format!("{}{route}\n", palette.paint(Tone::Odd, "cannot be said: the proof cannot be judged"))
        }
        _ => format!("{}{route}\n", palette.paint(Tone::Good, "would be taken")),
    }
}

/// One line for each step, its hints below it.
fn steps(explanation: &Explanation, palette: Palette) -> String {
    let width = explanation.steps.iter().map(|step| step.check.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for step in &explanation.steps {
        let (mark, tone) = match step.verdict {
            Verdict::Passed => ("✓", Tone::Good),
            Verdict::Refused => ("✗", Tone::Bad),
            Verdict::Unknown => ("?", Tone::Odd),
            Verdict::Skipped => ("–", Tone::Quiet),
        };
        // A step that the gate never comes to is shown as what it is.
        let tone = if step.reached { tone } else { Tone::Quiet };
        let because_tone = if step.reached && step.verdict != Verdict::Skipped { Tone::Plain } else { Tone::Quiet };
        let padding = " ".repeat(width.saturating_sub(step.check.chars().count()));
        let reason = if step.reason.is_empty() { String::new() } else { format!("{}: ", step.reason) };
        let aside = if step.reached { "" } else { " (not reached)" };
        let because = harmless(&format!("{reason}{}{aside}", step.because));
        let lead = format!("  {} {}{padding}  ", palette.paint(tone, mark), harmless(&step.check));
        text.push_str(&palette.item(&lead, because_tone, &because));
        for hint in &step.hints {
            let lead = format!("    {} ", palette.paint(Tone::Odd, "→"));
            text.push_str(&palette.item(&lead, Tone::Plain, &harmless(hint)));
        }
    }
    text
}
