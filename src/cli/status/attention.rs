//! What an operator must do, one line each, with the command that helps.

use std::fmt::Write as _;

use crate::cli::Exit;
use crate::cli::terminal::{counted, harmless};
use crate::control::admin::status::{BudgetStatus, SpoolStatus, State, Status, StoreStatus};
use crate::domain::Phase;
use crate::domain::lifetime::in_words;

/// Something that an operator must act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// Requests are refused or lost until it is done.
    pub(super) critical: bool,
    /// What is wrong.
    pub(super) what: String,
    /// What helps: a command to run.
    pub(super) command: String,
}

/// All of them, in the order of the status.
pub(super) fn needs(status: &Status, now: i64) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut add = |critical: bool, what: String, command: String| needs.push(Need { critical, what, command });
    match status.state {
        State::Running => {}
        State::Starting => add(true, "the relay is still starting".into(), "journalctl -u dmz-relay -n 50".into()),
        State::Draining => add(true, "the relay is stopping".into(), "systemctl status dmz-relay".into()),
    }
    if let Some(error) = &status.config.last_error {
        let count = counted(error.problems.len(), "problem");
        let what = format!("changed files were refused ({count}); what was running goes on");
        add(false, what, format!("dmz-relay check --config {}", harmless(&status.config.path)));
    }
    if let Some(pending) = &status.config.pending {
        let path = harmless(&status.config.path);
        let what = match pending.problems.len() {
            0 => format!("{path} was saved and waits for a reload"),
            count => format!("{path} was saved with {}, and waits for a reload", counted(count, "problem")),
        };
        add(false, what, format!("dmz-relay check --diff --config {path}, then dmz-relay reload"));
    }
    for listener in &status.listeners {
        for certificate in &listener.certificates {
            let name = harmless(certificate.names.first().map_or("without a name", String::as_str));
            let at = harmless(&listener.name);
            let lifetime = certificate.lifetime();
            let renew = format!("renew it, then: dmz-relay check --config {}", harmless(&status.config.path));
            match lifetime.phase(now) {
                Phase::Expired => add(true, format!("listener {at}: the certificate {name} has expired"), renew),
                Phase::LastThird => {
                    let left = in_words(lifetime.left(now));
                    let what = format!("listener {at}: the certificate {name} is in its last third and ends in {left}");
                    add(false, what, renew);
                }
                Phase::NotYet => add(true, format!("listener {at}: the certificate {name} is not valid yet"), renew),
                Phase::Good => {}
            }
        }
    }
    for route in &status.routes {
        if let Some(BudgetStatus { budget, spent, left: 0..=1 }) = route.error_budget
            && spent > 0
        {
            let name = harmless(&route.name);
            let what = format!("route {name}: {spent} failures in 24 hours, and the provider may stop at {budget}");
            add(true, what, format!("dmz-relay events list --route {name} --status 5xx"));
        }
        if let Some(unlisted) = &route.unlisted {
            let name = harmless(&route.name);
            let addresses: Vec<_> = unlisted.addresses.iter().map(|known| harmless(&known.address)).collect();
            let from = addresses.join(", ");
            let what =
                format!("route {name}: genuine requests from {from} are refused, because its allow does not list that");
            let add_it = format!("if it is the provider's, in relay.toml: {}", harmless(&unlisted.add));
            add(false, what, add_it);
        }
    }
    for feed in &status.feeds {
        let (list, file) = (harmless(&feed.list), harmless(&feed.file));
        if let Some(why) = &feed.refused {
            let what =
                format!("address list {list}: {file} is refused, and the addresses before stay: {}", harmless(why));
            add(false, what, format!("dmz-relay check --config {}", harmless(&status.config.path)));
        }
        if feed.old {
            let days = counted(usize::try_from((now - feed.date) / super::DAY).unwrap_or(0), "day");
            let what = format!("address list {list}: its addresses are {days} old, longer than max_age");
            add(false, what, format!("fetch {file} again, then: dmz-relay reload"));
        }
    }
    upstreams(status, &mut add);
    if let Some(store) = &status.store {
        self::store(store, status, &mut add);
    }
    needs
}

fn upstreams(status: &Status, add: &mut impl FnMut(bool, String, String)) {
    for upstream in &status.upstreams {
        let name = harmless(&upstream.name);
        if upstream.servers.iter().any(|server| server.healthy) {
            if upstream.breaker.is_some() {
                let what = format!("upstream {name}: cannot be reached; stored requests wait");
                add(true, what, format!("dmz-relay events retry --waiting --upstream {name}"));
            }
        } else {
            let first = upstream.servers.first();
            let why = first.and_then(|server| server.why.as_deref()).map(|why| format!(": {}", harmless(why)));
            let what = format!("upstream {name}: no server takes requests{}", why.unwrap_or_default());
            add(true, what, format!("curl -sv {}", harmless(first.map_or("", |server| &server.address))));
        }
    }
    for route in status.routes.iter().filter(|route| route.breaker.is_some()) {
        let (name, upstream) = (harmless(&route.name), harmless(&route.upstream));
        let what = format!("route {name}: upstream {upstream} does not take its requests; they wait");
        add(true, what, format!("dmz-relay events list --route {name} --state waiting"));
    }
}

fn store(store: &StoreStatus, status: &Status, add: &mut impl FnMut(bool, String, String)) {
    let path = harmless(&store.path);
    if !store.open {
        let why = harmless(store.problem.as_deref().unwrap_or("no reason is known"));
        add(true, format!("the store accepts no requests: {why}"), format!("ls -l {path}; df -h {path}"));
    } else if store.full {
        let what = "the store is full: requests that need it are answered 503";
        let free = if store.size.used >= store.size.limit {
            "dmz-relay events list --state dead, then retry or discard; or raise keep.size".to_owned()
        } else {
            format!("df -h {path}, then make room on the disk")
        };
        add(true, what.into(), free);
    }
    let waiting = |spool: SpoolStatus| counted(usize::try_from(spool.waiting + spool.dead).unwrap_or(0), "request");
    for route in status.routes.iter().filter(|route| route.spool.dead > 0) {
        let (name, dead) = (harmless(&route.name), usize::try_from(route.spool.dead).unwrap_or(0));
        let what = format!("route {name}: {}", counted(dead, "dead letter"));
        add(false, what, format!("dmz-relay events list --state dead --route {name}"));
    }
    for gone in &store.stranded {
        let name = harmless(&gone.route);
        let what = format!("{} for {name}, a route that is not configured", waiting(gone.spool));
        add(false, what, format!("dmz-relay events list --route {name}"));
    }
    if store.set_aside > 0 {
        let files = counted(usize::try_from(store.set_aside).unwrap_or(0), "damaged file");
        add(false, format!("{files} set aside beside the store"), format!("ls -l {path}*"));
    }
}

/// The line for a relay that did not answer.
pub(super) fn nagios_line(word: &str, what: &str) -> String {
    // A bar separates the figures from the text.
    format!("DMZ-RELAY {word} - {}\n", harmless(&what.replace('|', "/")))
}

/// One line, what follows below it, and the exit code as monitoring plugins define it: 0 OK, 1 WARNING, 2 CRITICAL.
pub(super) fn nagios(status: &Status, needs: &[Need]) -> (String, Exit) {
    let (word, exit) = match (needs.is_empty(), needs.iter().any(|need| need.critical)) {
        (true, _) => ("OK", Exit::Fine),
        (false, false) => ("WARNING", Exit::No),
        (false, true) => ("CRITICAL", Exit::Unusable),
    };
    // A bar separates the figures from the text.
    let plain = |text: &str| text.replace('|', "/");
    let first = needs.iter().max_by_key(|need| need.critical).map_or_else(
        || format!("configuration {}, {}", status.config.generation, counted(status.routes.len(), "route")),
        |need| match needs.len() {
            1 => plain(&need.what),
            more => format!("{} (1 of {more})", plain(&need.what)),
        },
    );
    let spool = status.store.as_ref().map(|store| store.spool).unwrap_or_default();
    let mut text = format!(
        "DMZ-RELAY {word} - {first} | connections={} waiting={} dead={}\n",
        status.usage.connections.used, spool.waiting, spool.dead
    );
    for need in needs {
        let _ = writeln!(text, "{}; {}", plain(&need.what), plain(&need.command));
    }
    (text, exit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::admin::status::{
        CertificateStatus, ListenerStatus, ServerStatus, StrandedStatus, UpstreamStatus,
    };
    use crate::control::admin::status::{ReloadError, RouteStatus, UnlistedAddress, UnlistedStatus, Used};

    fn fine() -> Status {
        Status {
            state: State::Running,
            store: Some(StoreStatus { open: true, path: "relay.db".into(), ..StoreStatus::default() }),
            upstreams: vec![UpstreamStatus {
                name: "crm".into(),
                servers: vec![ServerStatus { healthy: true, ..ServerStatus::default() }],
                breaker: None,
            }],
            ..Status::default()
        }
    }

    fn only(change: impl FnOnce(&mut Status)) -> Need {
        let mut status = fine();
        change(&mut status);
        let needs = needs(&status, 100);
        assert_eq!(needs.len(), 1, "{needs:#?}");
        needs.into_iter().next().unwrap()
    }

    fn certified(not_before: i64, not_after: i64) -> Vec<ListenerStatus> {
        let certificates = vec![CertificateStatus { names: vec!["a.example".into()], not_before, not_after }];
        vec![ListenerStatus { name: "public".into(), certificates, ..ListenerStatus::default() }]
    }

    #[test]
    fn each_thing_to_do_is_one_line_with_a_command() {
        assert_eq!(needs(&fine(), 100), []);
        let open = |status: &mut Status| status.store.get_or_insert_default().full = true;
        assert!(only(open).what.starts_with("the store is full"));
        let quota = |status: &mut Status| {
            let store = status.store.get_or_insert_default();
            (store.full, store.size) = (true, Used { used: 2, limit: 1 });
        };
        assert!(only(quota).command.contains("events list --state dead"));
        assert!(only(|s| s.store.get_or_insert_default().open = false).what.contains("accepts no requests"));
        let dead = RouteStatus {
            name: "gh".into(),
            spool: SpoolStatus { dead: 2, ..SpoolStatus::default() },
            ..RouteStatus::default()
        };
        let need = only(|status| status.routes.push(dead));
        assert_eq!(need.what, "route gh: 2 dead letters");
        assert_eq!(need.command, "dmz-relay events list --state dead --route gh");
        let stranded = StrandedStatus { route: "old".into(), spool: SpoolStatus { waiting: 1, ..Default::default() } };
        assert!(only(|s| s.store.get_or_insert_default().stranded.push(stranded)).what.contains("not configured"));
        assert!(only(|status| status.upstreams[0].servers[0].healthy = false).what.contains("no server takes"));
        assert!(only(|status| status.config.last_error = Some(ReloadError::default())).what.contains("refused"));
        assert!(only(|status| status.state = State::Draining).critical);
        let unlisted = UnlistedStatus {
            addresses: vec![UnlistedAddress { address: "203.0.113.7".into(), seen: 2, last: 90 }],
            add: "[routes.gh] allow = [\"@github\", \"203.0.113.7\"]".into(),
        };
        let lacking = RouteStatus { name: "gh".into(), unlisted: Some(unlisted), ..RouteStatus::default() };
        let need = only(|status| status.routes.push(lacking));
        assert!(need.what.contains("genuine requests from 203.0.113.7 are refused"), "{need:?}");
        assert!(need.command.ends_with("relay.toml: [routes.gh] allow = [\"@github\", \"203.0.113.7\"]"), "{need:?}");
    }

    #[test]
    fn a_certificate_is_to_be_renewed_in_its_last_third() {
        assert!(only(|status| status.listeners = certified(0, 99)).what.ends_with("has expired"));
        assert!(only(|status| status.listeners = certified(0, 148)).what.contains("in its last third"));
        let status = Status { listeners: certified(0, 151), ..fine() };
        assert_eq!(needs(&status, 100), []);
    }

    #[test]
    fn monitoring_gets_one_word_and_its_code() {
        let line = |status: &Status| {
            let (text, exit) = nagios(status, &needs(status, 100));
            (text.lines().next().unwrap_or_default().to_owned(), exit)
        };
        assert_eq!(line(&fine()).1, Exit::Fine);
        assert!(line(&fine()).0.starts_with("DMZ-RELAY OK - "));
        let status = Status { listeners: certified(0, 148), ..fine() };
        assert_eq!(line(&status).1, Exit::No);
        let status = Status { listeners: certified(0, 99), ..fine() };
        assert_eq!(line(&status).1, Exit::Unusable);
        assert!(line(&status).0.starts_with("DMZ-RELAY CRITICAL - listener public: the certificate a.example has"));
        assert!(line(&status).0.ends_with("| connections=0 waiting=0 dead=0"));
    }
}
