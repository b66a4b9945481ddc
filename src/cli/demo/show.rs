//! What the audience sees, in at most 80 columns.

use std::fmt::Write as _;

use super::act::{Played, Step};
use super::journal::Line;
use super::play::{Performance, Seen, Shown};
use super::stage::Stage;
use crate::cli::terminal::{Palette, Tone, counted, harmless};

/// Columns that a row says what was sent in.
const SENT: usize = 42;
/// Columns of the method and path of a request that comes in later.
const PATH: usize = 38;

/// Where everything stands.
pub(super) fn opening(stage: &Stage, palette: Palette) -> String {
    let title = palette.paint(Tone::Strong, concat!("dmz-relay ", env!("CARGO_PKG_VERSION"), ", a demonstration"));
    let (relay, application) = (stage.relay.port(), stage.application.address);
    format!(
        "\n{title}\n\n  \
         The relay stands at https://localhost:{relay}, and behind it an application\n  \
         at http://{application}. This program plays the senders and the\n  \
         application. Sockets, certificates and signatures are real.\n"
    )
}

/// The parts of the show.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Genuine,
    Explained,
    Outage,
    Crash,
    Full,
}

/// What a part shows, before it begins.
pub(super) fn part(part: Part, palette: Palette) -> String {
    let (title, lead) = match part {
        Part::Genuine => (
            "1. Only genuine webhooks reach the application",
            "  Each line is one request: what was sent, what its sender was answered, and\n  \
             what the relay's log says.\n",
        ),
        Part::Explained => {
            ("2. Why was it refused?", "  Senders learn nothing but the status. An operator asks the relay:\n")
        }
        Part::Outage => (
            "3. The application is away: nothing is lost",
            "  Senders get their 200, because the relay keeps each request on disk until\n  \
             the application has it.\n",
        ),
        Part::Crash => (
            "4. The relay is killed: what was answered 200 is still there",
            "  A second relay, as a process of its own.\n",
        ),
        Part::Full => (
            "5. The disk is full: no false 200",
            "  The store of that relay may take 16 MiB. What does not fit is answered 503,\n  \
             so that its sender tries again.\n",
        ),
    };
    let gap = if matches!(part, Part::Genuine | Part::Explained) { "" } else { "\n" };
    format!("\n{}\n\n{lead}{gap}", palette.paint(Tone::Strong, title))
}

/// The name of a system, before its requests.
pub(super) fn system(name: &str, palette: Palette) -> String {
    format!("\n  {}\n", palette.paint(Tone::Strong, name))
}

/// One request with what became of it.
pub(super) fn request(shown: &Shown, palette: Palette) -> String {
    let status = shown.seen.status;
    let tone = if (200..300).contains(&status) { Tone::Good } else { Tone::Odd };
    let status = palette.paint(tone, &status.to_string());
    let verdict = harmless(&shown.seen.verdict);
    let verdict = match (shown.byte_for_byte, verdict.as_str()) {
        (Some(true), _) => format!("{verdict}, byte for byte"),
        (_, "duplicate") => "duplicate, not forwarded".to_owned(),
        _ => verdict,
    };
    let mut text = format!("  {}  {:<SENT$}  {status}  {verdict}\n", mark(shown.as_expected, palette), shown.sent);
    for line in shown.note.lines() {
        let _ = writeln!(text, "       {}", palette.paint(Tone::Quiet, line));
    }
    if !shown.as_expected {
        let _ = writeln!(text, "{}", palette.item("     ", Tone::Bad, &wrong(shown)).trim_end());
    }
    text
}

fn mark(good: bool, palette: Palette) -> String {
    if good { palette.paint(Tone::Good, "✓") } else { palette.paint(Tone::Bad, "✗") }
}

fn wrong(shown: &Shown) -> String {
    let Seen { status, verdict, application, octolis_endpoint } = &shown.expected;
    let reach = application + octolis_endpoint;
    let leak = if shown.leaked { "; and something was revealed that should not be" } else { "" };
    format!("expected {status}, {verdict}, {reach} at the upstream{leak}; request {}", harmless(&shown.request_id))
}

/// A step of an act: what was done, and below it what came of it.
pub(super) fn step(step: &Step, palette: Palette) -> String {
    let came = palette.paint(if step.as_expected { Tone::Quiet } else { Tone::Bad }, &step.came);
    format!("  {}  {}\n       {came}\n", mark(step.as_expected, palette), step.done)
}

/// What `explain` says.
pub(super) fn explained(request_id: &str, lines: &[String], palette: Palette) -> String {
    let command = format!("$ dmz-relay explain {}", harmless(request_id));
    let mut text = format!("\n  {}\n", palette.paint(Tone::Strong, &command));
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// The last word.
pub(super) fn summary(performance: &Performance, palette: Palette) -> String {
    let first = &performance.requests;
    let reached = first.iter().filter(|shown| shown.seen.application + shown.seen.octolis_endpoint > 0).count();
    let all = |act: &Played| act.requests.len();
    let [outage, crash, full] = performance.acts();
    let parts = [
        (
            first.iter().all(|shown| shown.as_expected),
            format!(
                "{} webhooks sent: the {reached} that were genuine and new reached the\n     application, the other {} did not",
                first.len(),
                first.len() - reached
            ),
        ),
        (!performance.explained.is_empty(), "one refusal explained, with its cause".to_owned()),
        (outage.as_expected, format!("{} came while the application failed: all arrived later", all(outage))),
        (crash.as_expected, format!("{} were answered 200 before kill -9: all arrived, once", all(crash))),
        (full.as_expected, format!("{} filled the disk and arrived; the next was answered 503, not 200", all(full))),
    ];
    let mut text = format!("\n{}\n\n", palette.paint(Tone::Strong, "Summary"));
    for (number, (good, words)) in (1..).zip(parts) {
        let words = if good { words } else { format!("part {number} did not go as it should") };
        let _ = writeln!(text, "  {}  {words}", mark(good, palette));
    }
    let words = match performance.as_expected {
        true => palette.paint(Tone::Good, "All as expected."),
        false => {
            let wrong = first.iter().filter(|shown| !shown.as_expected).count();
            let steps = performance.acts().iter().flat_map(|act| &act.steps).filter(|step| !step.as_expected).count();
            let word = palette.paint(Tone::Bad, "Not as expected:");
            format!("{word} {} and {}. This is a bug of the relay.", counted(wrong, "request"), counted(steps, "step"))
        }
    };
    let _ = writeln!(text, "\n  {words} It took {:.1} s.", performance.seconds);
    text
}

pub(super) fn json(performance: &Performance) -> String {
    // Strings, numbers and lists always have a JSON form.
    serde_json::to_string_pretty(performance).map(|text| text + "\n").unwrap_or_default()
}

/// One line of the log, for people.
pub(super) fn live(line: &Line, palette: Palette) -> String {
    let status = line.number("status");
    let tone = if (200..300).contains(&status) { Tone::Good } else { Tone::Odd };
    let reason = line.get("reason");
    let verdict = if reason.is_empty() { line.get("outcome") } else { reason };
    let time = line.get("time").get(11..19).unwrap_or_default();
    let target: String = harmless(&format!("{} {}", line.get("method"), line.get("path"))).chars().take(PATH).collect();
    format!(
        "  {}  {}  {verdict:<22}  {target}\n",
        palette.paint(Tone::Quiet, time),
        palette.paint(tone, &status.to_string()),
    )
}
