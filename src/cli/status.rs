//! `status`: what a running relay does, as its admin listener tells it, and what an operator must do about it.

mod attention;

use std::fmt::Write as _;
use std::time::Duration;

use super::grammar::{Output, Status as Args};
use attention::Need;

use super::reload::{lines, problem_text};
use super::{Exit, Unusable, say_json};
use crate::base::Clock;
use crate::cli::terminal::{Cell, Palette, Table, Tone, cell, counted, harmless, say, tell};
use crate::control::admin::client;
use crate::control::admin::status::{
    BudgetStatus, CertificateStatus, OpenBreaker, RouteCounts, RouteStatus, SpoolStatus, State, Status, StoreStatus,
    Used,
};
use crate::domain::Phase;
use crate::domain::lifetime::in_words;

const DAY: i64 = 24 * 3600;

pub(super) async fn status(args: &Args, output: Output) -> Result<Exit, Unusable> {
    let address = args.relay.address()?;
    let answer = match client::get(&address, "/api/v1/status").await {
        Ok(answer) => answer,
        Err(error) => {
            if output == Output::Nagios {
                say(&attention::nagios_line("CRITICAL", &error.to_string()));
            }
            return Err(error.to_string().into());
        }
    };
    let status: Status = serde_json::from_slice(&answer.body)
        .map_err(|_| format!("the relay answered {} instead of a status", answer.status))?;
    let now = Clock::system().now().secs();
    let needs = attention::needs(&status, now);
    match output {
        Output::Json => say_json(&status)?,
        Output::Nagios => {
            let (line, code) = attention::nagios(&status, &needs);
            say(&line);
            return Ok(code);
        }
        _ => tell(&text(&status, &needs, now, Palette::of_stdout())),
    }
    Ok(if needs.is_empty() { Exit::Fine } else { Exit::No })
}

fn text(status: &Status, needs: &[Need], now: i64, palette: Palette) -> String {
    let mut text = String::new();
    let state = match status.state {
        State::Running => palette.paint(Tone::Good, "running"),
        State::Starting => palette.paint(Tone::Odd, "starting"),
        State::Draining => palette.paint(Tone::Odd, "draining"),
    };
    let up = rough(status.uptime_seconds);
    let _ = writeln!(text, "dmz-relay {} is {state}, up {up}", harmless(&status.version));
    config(&mut text, status, now, palette);
    if !needs.is_empty() {
        let _ = writeln!(text, "\n{}", palette.paint(Tone::Strong, "To do"));
        for need in needs {
            let _ = writeln!(text, "{}", palette.paint(Tone::Bad, &palette.fold(&need.what, 2)));
            let _ = writeln!(text, "{}", palette.fold(&format!("→ {}", need.command), 4));
        }
    }
    section(&mut text, "Listeners", &listeners(status, now), palette);
    section(&mut text, "Routes", &routes(status), palette);
    troubled(&mut text, status, now, palette);
    section(&mut text, "Upstreams", &upstreams(status), palette);
    shut(&mut text, status, now, palette);
    section(&mut text, "Usage", &usage(status), palette);
    if let Some(store) = &status.store {
        section(&mut text, "Store", &self::store(store, status, now), palette);
        let (used, limit, free) = (bytes(store.size.used), bytes(store.size.limit), bytes(store.disk_free));
        let size = palette.fold(&format!("{used} of {limit}, {free} free on disk"), 2);
        let _ = writeln!(text, "{}", palette.paint(Tone::Quiet, &size));
    }
    if !status.warnings.is_empty() {
        let _ = writeln!(text, "\n{}", palette.paint(Tone::Strong, "Warnings"));
        for warning in &status.warnings {
            let _ = writeln!(text, "{}", palette.paint(Tone::Odd, &palette.fold(&lines(warning), 2)));
        }
    }
    text
}

fn section(text: &mut String, heading: &str, table: &Table, palette: Palette) {
    let _ = write!(text, "\n{}\n{}", palette.paint(Tone::Strong, heading), table.text(palette));
}

fn config(text: &mut String, status: &Status, now: i64, palette: Palette) {
    let config = &status.config;
    let digest: String = config.digest.chars().filter(char::is_ascii_hexdigit).take(12).collect();
    let (path, ago) = (harmless(&config.path), ago(config.loaded_at, now));
    let version = config.version.map(|version| format!(" (version {version})")).unwrap_or_default();
    let line = format!("{path}: configuration {}{version}, loaded {ago}, {digest}", config.generation);
    let _ = writeln!(text, "{}", palette.fold(&line, 0));
    for change in &config.changes {
        let _ = writeln!(text, "{}", palette.fold(&harmless(change), 2));
    }
    if let Some(pending) = &config.pending {
        let what = format!("{path} was saved {} and waits for a reload:", self::ago(pending.since, now));
        let _ = writeln!(text, "{}", palette.paint(Tone::Odd, &palette.fold(&what, 2)));
        for change in &pending.changes {
            let _ = writeln!(text, "{}", palette.fold(&harmless(change), 4));
        }
        for problem in &pending.problems {
            let _ = writeln!(text, "{}", palette.fold(&problem_text(problem), 4));
        }
    }
    for change in &config.needs_restart {
        let _ = writeln!(text, "  {} {}", palette.paint(Tone::Odd, "needs a restart:"), harmless(change));
    }
    if let Some(error) = &config.last_error {
        let count = counted(error.problems.len(), "problem");
        let what = format!("the files have {count} since {}; what was running goes on", self::ago(error.at, now));
        let _ = writeln!(text, "{}", palette.paint(Tone::Bad, &palette.fold(&what, 2)));
        for problem in &error.problems {
            let _ = writeln!(text, "{}", palette.fold(&problem_text(problem), 2));
        }
    }
}

fn listeners(status: &Status, now: i64) -> Table {
    let mut table = Table::new(["name", "address", "tls", "certificate", "expires"]);
    for listener in &status.listeners {
        let (name, address) = (harmless(&listener.name), harmless(&listener.address));
        let tls = if listener.tls { cell(Tone::Good, "yes") } else { cell(Tone::Bad, "plaintext") };
        let mut certificates = listener.certificates.iter();
        let (names, expires) = certificates.next().map_or_else(Default::default, |first| certificate(first, now));
        table.row([cell(Tone::Strong, name), address.into(), tls, names, expires]);
        for other in certificates {
            let (names, expires) = certificate(other, now);
            table.row([Cell::default(), Cell::default(), Cell::default(), names, expires]);
        }
    }
    table
}

fn certificate(certificate: &CertificateStatus, now: i64) -> (Cell, Cell) {
    const SHOWN: usize = 3;
    let mut names: Vec<String> = certificate.names.iter().take(SHOWN).map(|name| harmless(name)).collect();
    if certificate.names.len() > SHOWN {
        names.push(format!("{} more", certificate.names.len() - SHOWN));
    }
    let lifetime = certificate.lifetime();
    let left = format!("in {}", in_words(lifetime.left(now)));
    let expires = match lifetime.phase(now) {
        Phase::Expired => cell(Tone::Bad, "expired"),
        Phase::NotYet => cell(Tone::Bad, "not valid yet"),
        Phase::LastThird => cell(Tone::Odd, left),
        Phase::Good => left.into(),
    };
    (names.join(", ").into(), expires)
}

fn routes(status: &Status) -> Table {
    let mut table =
        Table::new(["name", "at", "provider", "keys", "to", "delivered", "waiting", "duplicate", "refused", "failed"])
            .foldable(&[3, 2, 4]);
    for route in &status.routes {
        let RouteCounts { delivered, duplicate, refused, failed, .. } = route.counts;
        let some = |count: u64, tone: Tone| cell(if count == 0 { Tone::Quiet } else { tone }, count.to_string());
        table.row([
            cell(Tone::Strong, harmless(&route.name)),
            harmless(&format!("{}{}", route.host.as_deref().unwrap_or_default(), route.path)).into(),
            provider(route),
            harmless(&route.keys.join(", ")).into(),
            harmless(&route.upstream).into(),
            some(delivered, Tone::Good),
            some(route.spool.waiting, Tone::Odd),
            some(duplicate, Tone::Plain),
            some(refused, Tone::Odd),
            some(failed, Tone::Bad),
        ]);
    }
    table
}

/// Providers that would give up soon, and those that have gone quiet; lists that are not in force.
fn troubled(text: &mut String, status: &Status, now: i64, palette: Palette) {
    for route in &status.routes {
        let name = harmless(&route.name);
        if let Some(BudgetStatus { budget, spent, left: 0..=1 }) = route.error_budget
            && spent > 0
        {
            let what = format!("{name}: the provider saw {spent} failures within a day and may give up at {budget}");
            let _ = writeln!(text, "{}", palette.paint(Tone::Bad, &palette.fold(&what, 2)));
        }
        if route.address_check.as_deref() == Some("observe") {
            let RouteCounts { would_refuse, would_refuse_genuine, .. } = route.counts;
            let what = format!(
                "{name}: ADDRESSES NOT ENFORCED (address_check = \"observe\"); would have refused {would_refuse}, \
                 {would_refuse_genuine} of them genuine"
            );
            let _ = writeln!(text, "{}", palette.paint(Tone::Bad, &palette.fold(&what, 2)));
        }
        if route.observes {
            let RouteCounts { would_refuse_genuine, .. } = route.counts;
            let what = format!(
                "{name}: observes what it does not enforce yet; would have refused {would_refuse_genuine} genuine requests"
            );
            let _ = writeln!(text, "{}", palette.paint(Tone::Odd, &palette.fold(&what, 2)));
        }
        if route.inactive {
            let last = route.last_genuine.map_or_else(|| "never".to_owned(), |at| ago(at, now));
            let what = format!("{name}: the provider has gone quiet; last genuine request: {last}");
            let _ = writeln!(text, "{}", palette.paint(Tone::Odd, &palette.fold(&what, 2)));
        }
    }
}

/// Breakers that are open.
fn shut(text: &mut String, status: &Status, now: i64, palette: Palette) {
    let mut line = |what: String, breaker: &OpenBreaker| {
        let probe = match breaker.next_probe.saturating_sub(now) {
            left @ 1.. => format!("probed again in {left} s"),
            _ => "probed now".to_owned(),
        };
        let what = format!("{what} ({} failures in a row); {probe}", breaker.failures);
        let _ = writeln!(text, "{}", palette.paint(Tone::Bad, &palette.fold(&what, 2)));
    };
    for upstream in &status.upstreams {
        if let Some(breaker) = &upstream.breaker {
            let name = harmless(&upstream.name);
            line(format!("{name}: cannot be reached, so stored requests wait"), breaker);
        }
    }
    for route in &status.routes {
        if let Some(breaker) = &route.breaker {
            let (route, upstream) = (harmless(&route.name), harmless(&route.upstream));
            line(format!("{upstream}: does not take requests of {route}, so they wait"), breaker);
        }
    }
}

fn provider(route: &RouteStatus) -> Cell {
    match &route.provider {
        _ if route.verification == "none" => cell(Tone::Bad, "NOT VERIFIED"),
        Some(provider) => harmless(provider).into(),
        None => cell(Tone::Quiet, "own scheme"),
    }
}

fn upstreams(status: &Status) -> Table {
    let mut table = Table::new(["name", "server", "state", "in flight"]);
    for upstream in &status.upstreams {
        let mut name = cell(Tone::Strong, harmless(&upstream.name));
        for server in &upstream.servers {
            let state = match (server.healthy, &server.why) {
                (true, _) => cell(Tone::Good, "takes requests"),
                (false, Some(why)) => cell(Tone::Bad, harmless(why)),
                (false, None) => cell(Tone::Bad, "takes none"),
            };
            table.row([
                std::mem::take(&mut name),
                harmless(&server.address).into(),
                state,
                server.in_flight.to_string().into(),
            ]);
        }
    }
    table
}

fn usage(status: &Status) -> Table {
    let usage = &status.usage;
    let mut table = Table::bare();
    let mut line = |name: &str, used: Used, unit: fn(u64) -> String| {
        let percent = used.used.saturating_mul(100) / used.limit.max(1);
        let tone = match percent {
            0..70 => Tone::Plain,
            70..90 => Tone::Odd,
            _ => Tone::Bad,
        };
        let share = format!("{} of {}", unit(used.used), unit(used.limit));
        table.row([cell(Tone::Quiet, name), cell(tone, share), cell(Tone::Quiet, format!("{percent} %"))]);
    };
    line("connections", usage.connections, |count| count.to_string());
    line("body memory", usage.body_memory, bytes);
    line("dedupe memory", usage.dedupe_entries, |count| count.to_string());
    table.row([cell(Tone::Quiet, "in flight"), usage.requests_in_flight.to_string().into(), Cell::default()]);
    table
}

/// The store itself, then every route that has something in it.
fn store(store: &StoreStatus, status: &Status, now: i64) -> Table {
    let mut table = Table::new(["", "waiting", "dead", "oldest", ""]);
    let state = match (store.open, &store.problem, store.full) {
        (false, problem, _) => cell(Tone::Bad, harmless(problem.as_deref().unwrap_or("accepts no requests"))),
        (true, _, true) => cell(Tone::Bad, "full"),
        (true, _, false) => cell(Tone::Good, "takes requests"),
    };
    let mut line = |name: Cell, spool: SpoolStatus, note: Cell| {
        let dead = cell(if spool.dead == 0 { Tone::Quiet } else { Tone::Bad }, spool.dead.to_string());
        let waiting = cell(if spool.waiting == 0 { Tone::Quiet } else { Tone::Odd }, spool.waiting.to_string());
        table.row([name, waiting, dead, spool.oldest.map(|at| ago(at, now)).unwrap_or_default().into(), note]);
    };
    line(cell(Tone::Strong, harmless(&store.path)), store.spool, state);
    for route in status.routes.iter().filter(|route| route.spool != SpoolStatus::default()) {
        line(harmless(&route.name).into(), route.spool, Cell::default());
    }
    for gone in &store.stranded {
        line(harmless(&gone.route).into(), gone.spool, cell(Tone::Bad, "not configured: they wait"));
    }
    if store.set_aside > 0 {
        let note = cell(Tone::Bad, "damaged: set aside beside the store, look at it and remove it");
        let files = counted(usize::try_from(store.set_aside).unwrap_or(0), "file");
        table.row([cell(Tone::Strong, files), Cell::default(), Cell::default(), Cell::default(), note]);
    }
    table
}

fn bytes(count: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    match count {
        0..1024 => format!("{count} B"),
        1024..MIB => format!("{} KiB", count / 1024),
        _ => format!("{} MiB", count / MIB),
    }
}

fn ago(at: i64, now: i64) -> String {
    let past = Duration::from_secs(u64::try_from(now.saturating_sub(at)).unwrap_or(0));
    if past.as_secs() == 0 { "just now".to_owned() } else { format!("{} ago", rough(past.as_secs())) }
}

/// The two largest units.
fn rough(secs: u64) -> String {
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{secs} s"),
        (0, 0, _) => format!("{minutes} min {} s", secs % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{} {hours} h", counted(usize::try_from(days).unwrap_or(0), "day")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::admin::status::{ListenerStatus, ReloadError, ServerStatus, UpstreamStatus};

    fn example() -> Status {
        Status {
            version: "0.1.0".into(),
            uptime_seconds: 3 * 86_400 + 7200,
            state: State::Running,
            listeners: vec![ListenerStatus {
                name: "public".into(),
                address: "127.0.0.1:8443".into(),
                tls: true,
                certificates: vec![
                    CertificateStatus { names: vec!["a.example".into()], not_before: 0, not_after: 100 * DAY },
                    CertificateStatus { names: vec!["b.example".into()], not_before: 0, not_after: 90 * DAY },
                ],
            }],
            upstreams: vec![UpstreamStatus {
                name: "crm".into(),
                servers: vec![ServerStatus { address: "http://x".into(), healthy: true, why: None, in_flight: 1 }],
                breaker: None,
            }],
            ..Status::default()
        }
    }

    fn shown(status: &Status, now: i64) -> String {
        text(status, &attention::needs(status, now), now, Palette::plain())
    }

    fn healthy(status: &Status) -> bool {
        attention::needs(status, 0).is_empty()
    }

    #[test]
    fn what_needs_a_look_can_be_seen() {
        let mut status = example();
        let text = shown(&status, 0);
        for part in ["is running, up 3 days 2 h", "in 100 days", "in 90 days", "takes requests"] {
            assert!(text.contains(part), "{part} in:\n{text}");
        }
        assert!(healthy(&status));
        status.upstreams[0].servers[0].healthy = false;
        assert!(!healthy(&status));
        let mut status = example();
        status.config.last_error = Some(ReloadError::default());
        assert!(!healthy(&status));
    }

    #[test]
    fn open_breakers_stand_below_the_upstreams() {
        let mut status = example();
        let breaker = Some(OpenBreaker { failures: 7, next_probe: 103 });
        status.upstreams[0].breaker = breaker;
        assert!(!healthy(&status));
        let text = shown(&status, 100);
        let line = "crm: cannot be reached, so stored requests wait (7 failures in a row); probed again in 3 s";
        assert!(text.contains(line), "{text}");
        let mut status = example();
        status.routes.push(RouteStatus {
            name: "gh".into(),
            upstream: "crm".into(),
            breaker,
            ..RouteStatus::default()
        });
        assert!(!healthy(&status));
        let text = shown(&status, 103);
        let line = "crm: does not take requests of gh, so they wait (7 failures in a row); probed now";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn providers_in_trouble_stand_below_the_routes() {
        let route = RouteStatus {
            name: "dastra".into(),
            error_budget: Some(BudgetStatus { budget: 5, spent: 4, left: 1 }),
            inactive: true,
            last_genuine: Some(0),
            ..RouteStatus::default()
        };
        let mut status = Status { routes: vec![route], ..example() };
        let text = shown(&status, 3600);
        assert!(text.contains("saw 4 failures within a day and may give up at 5"), "{text}");
        assert!(text.contains("gone quiet; last genuine request: 1 h 0 min ago"), "{text}");
        status.routes[0].inactive = false;
        status.routes[0].error_budget = Some(BudgetStatus { budget: 5, spent: 3, left: 2 });
        let text = shown(&status, 3600);
        assert!(!text.contains("provider saw") && !text.contains("quiet"), "{text}");
    }

    #[test]
    fn lists_that_are_not_in_force_stand_below_the_routes() {
        let counts = RouteCounts { would_refuse: 7, would_refuse_genuine: 2, ..RouteCounts::default() };
        let route = RouteStatus { name: "github".into(), counts, ..RouteStatus::default() };
        for (check, shown) in [(None, false), (Some("enforce"), false), (Some("observe"), true)] {
            let route = RouteStatus { address_check: check.map(Into::into), ..route.clone() };
            let report = text(&Status { routes: vec![route], ..example() }, &[], 0, Palette::plain());
            let line =
                "github: ADDRESSES NOT ENFORCED (address_check = \"observe\"); would have refused 7, 2 of them genuine";
            assert_eq!(report.contains(line), shown, "{report}");
        }
    }

    #[test]
    fn durations_have_two_units() {
        assert_eq!(rough(59), "59 s");
        assert_eq!(rough(61), "1 min 1 s");
        assert_eq!(rough(3660), "1 h 1 min");
        assert_eq!(rough(86_400), "1 day 0 h");
    }
}
