//! What the audience sees.

use std::fmt::Write as _;

use super::journal::Line;
use super::outage::Step;
use super::play::{Performance, Seen, Shown};
use super::stage::Stage;
use crate::terminal::{Cell, Palette, Table, Tone, cell, counted, harmless};

/// What the table does not say.
const NOTES: [&str; 5] = [
    "  (1) This machine plays Dastra. /hooks/dastra allows 127.0.0.1 beside the addresses that Dastra publishes;",
    "      /hooks/dastra-only allows only those, and refuses.",
    "  (2) The key is compared in constant time and stays outside: the application never sees it.",
    "  (3) The other way round: the endpoint, played by this program, admits only what carries its key, which the",
    "      relay reads from a file and adds after the signature was checked.",
];

/// Where everything stands.
pub(super) fn opening(stage: &Stage, palette: Palette) -> String {
    let strong = |text: &str| palette.paint(Tone::Strong, text);
    let quiet = |text: &str| palette.paint(Tone::Quiet, text);
    let relay = format!("https://localhost:{}", stage.relay.port());
    let mut text = format!("\n{}\n\n", strong(concat!("dmz-relay ", env!("CARGO_PKG_VERSION"), " at work")));
    let _ = writeln!(
        text,
        "  Oktave, Dastra, Octolis {} {} {} an application {}",
        quiet("── TLS ──▶"),
        strong(&relay),
        quiet("── plain ──▶"),
        quiet(&format!("http://{}", stage.application.address)),
    );
    let _ = writeln!(
        text,
        "  {}",
        quiet("Real sockets, certificates and signatures; the senders are played by this program.")
    );
    text
}

/// Every request with what became of it.
pub(super) fn table(performance: &Performance, palette: Palette) -> String {
    let mut table = Table::new([" ", "sent", "answer", "in the log", "reached the upstream"]);
    for shown in &performance.requests {
        table.row(row(shown));
    }
    let mut lines = table.lines(palette).into_iter();
    let mut text = format!("\n{}\n", lines.next().unwrap_or_default());
    let mut system = "";
    for (shown, line) in performance.requests.iter().zip(lines) {
        if shown.system != system {
            system = shown.system;
            let _ = writeln!(text, "\n  {}", palette.paint(Tone::Strong, system));
        }
        let _ = writeln!(text, "{line}");
        if !shown.as_expected {
            let _ = writeln!(text, "      {}", palette.paint(Tone::Bad, &wrong(shown)));
        }
    }
    for note in NOTES {
        let _ = write!(text, "\n{}", palette.paint(Tone::Quiet, note));
    }
    text.push('\n');
    text
}

/// Before the second act.
pub(super) fn interlude(palette: Palette) -> String {
    format!("\n  {}\n", palette.paint(Tone::Strong, "The application goes away"))
}

/// A step of it.
pub(super) fn step(step: &Step, palette: Palette) -> String {
    let (tone, mark) = if step.as_expected { (Tone::Good, "✓") } else { (Tone::Bad, "✗") };
    let came = if step.as_expected { step.came.clone() } else { palette.paint(Tone::Bad, &step.came) };
    format!("  {}  {:<45}  {came}\n", palette.paint(tone, mark), step.done)
}

fn row(shown: &Shown) -> [Cell; 5] {
    let mark = if shown.as_expected { cell(Tone::Good, "✓") } else { cell(Tone::Bad, "✗") };
    let success = (200..300).contains(&shown.seen.status);
    let status = cell(if success { Tone::Good } else { Tone::Odd }, shown.seen.status.to_string());
    [mark, shown.sent.into(), status, harmless(&shown.seen.verdict).into(), reached(shown)]
}

fn reached(shown: &Shown) -> Cell {
    let Seen { application, octolis_endpoint, .. } = shown.seen;
    let place = match (application, octolis_endpoint) {
        (0, 0) => return cell(Tone::Quiet, "no"),
        (_, 0) => "application",
        _ => "endpoint",
    };
    match shown.byte_for_byte {
        Some(true) => cell(Tone::Good, format!("{place}, byte for byte")),
        _ => cell(Tone::Bad, format!("{place}, and it should not have, or not so")),
    }
}

fn wrong(shown: &Shown) -> String {
    let Seen { status, verdict, application, octolis_endpoint } = &shown.expected;
    let reach = application + octolis_endpoint;
    let leak = if shown.leaked { "; and something was revealed that should not be" } else { "" };
    format!("expected {status}, {verdict}, {reach} at the upstream{leak}; request {}", harmless(&shown.request_id))
}

/// The last word.
pub(super) fn verdict(performance: &Performance, palette: Palette) -> String {
    let (first, second) = (&performance.requests, &performance.outage);
    let all = first.len() + second.requests.len();
    let inside: u64 = first.iter().map(|shown| shown.seen.application + shown.seen.octolis_endpoint).sum();
    let inside = inside + second.requests.iter().map(|kept| kept.arrived as u64).sum::<u64>();
    let wrong = first.iter().filter(|shown| !shown.as_expected).count();
    let broken = second.steps.iter().filter(|step| !step.as_expected).count();
    if performance.as_expected {
        let word = palette.paint(Tone::Good, "All as expected:");
        format!(
            "\n  {word} {all} requests sent, {inside} genuine and new ones went in; nothing else did, and nothing was lost.\n"
        )
    } else {
        let word = palette.paint(Tone::Bad, "Not as expected:");
        let (wrong, broken) = (counted(wrong, "request"), counted(broken, "step"));
        format!("\n  {word} {wrong}, {broken}; {inside} of {all} went in. This is a bug of the relay.\n")
    }
}

pub(super) fn json(performance: &Performance) -> String {
    // Strings, numbers and lists always have a JSON form.
    serde_json::to_string_pretty(performance).map(|text| text + "\n").unwrap_or_default()
}

/// How to go on by oneself.
pub(super) fn invitation(stage: &Stage, palette: Palette) -> String {
    let heading = |text: &str| palette.paint(Tone::Strong, text);
    let relay = format!("https://localhost:{}", stage.relay.port());
    let program = std::env::current_exe().map_or_else(|_| "dmz-relay".to_owned(), |path| path.display().to_string());
    let folder = stage.file("");
    let folder = folder.to_string_lossy();
    let folder = folder.trim_end_matches('/');
    let mut table = Table::bare();
    for (name, value) in [
        ("relay", relay.clone()),
        ("its authority", format!("{folder}/ca.crt")),
        ("configuration", format!("{folder}/relay.toml")),
        ("secrets", format!("{folder}/secrets/")),
        ("admin", format!("{folder}/admin.sock")),
    ] {
        table.row([cell(Tone::Quiet, name), value.into()]);
    }
    let mut text =
        format!("\n{}\n{}", heading("It goes on until Ctrl-C; then its folder is removed."), table.text(palette));
    let _ = write!(
        text,
        r#"
{by_relay}
  {program} send dastra --config {folder}/relay.toml
  {program} send dastra --config {folder}/relay.toml --tamper
  {program} send oktave --config {folder}/relay.toml --stale
  {program} status --config {folder}/relay.toml
  {program} events list --config {folder}/relay.toml

{by_curl}
  D={folder}

  BODY='{{"event":"hello","id":"1"}}'
  curl -i --cacert $D/ca.crt {relay}/hooks/dastra -H 'Content-Type: application/json' --data-raw "$BODY" \
    -H "Dastra-Signature: $(printf %s "$BODY" | openssl dgst -sha256 -hmac "$(cat $D/secrets/dastra)" -binary | base64)"

  ID=$(cat /proc/sys/kernel/random/uuid) NOW=$(date +%s)
  curl -i --cacert $D/ca.crt {relay}/hooks/oktave -H 'Content-Type: application/json' -d "{{\"event_id\":\"$ID\"}}" \
    -H "Oktave-Event-Id: $ID" -H "Oktave-Timestamp: $NOW" \
    -H "Oktave-Signature: $(printf %s "$ID$NOW" | openssl dgst -sha256 -hmac "$(cat $D/secrets/oktave)" -r | cut -d ' ' -f 1)"

  curl -i --cacert $D/ca.crt -X PUT "{relay}/hooks/octolis?api-key=$(cat $D/secrets/octolis)" -H 'X-Tenant: north' -d '{{}}'

{log}
"#,
        by_relay = heading("Send more, signed by the relay's own tool:"),
        by_curl = heading("Or with curl and openssl:"),
        log = heading("What comes in from now on:"),
    );
    text
}

/// One line of the log, for people.
pub(super) fn request(line: &Line, palette: Palette) -> String {
    let status = line.number("status");
    let tone = if (200..300).contains(&status) { Tone::Good } else { Tone::Odd };
    let reason = line.get("reason");
    let verdict = if reason.is_empty() { line.get("outcome") } else { reason };
    let time = line.get("time").get(11..19).unwrap_or_default();
    let route = Some(line.get("route")).filter(|route| !route.is_empty()).unwrap_or("no route");
    format!(
        "  {}  {}  {verdict:<22} {:<18} {} {}\n",
        palette.paint(Tone::Quiet, time),
        palette.paint(tone, &status.to_string()),
        harmless(route),
        harmless(line.get("method")),
        harmless(line.get("path")),
    )
}
