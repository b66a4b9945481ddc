//! Steps 5, 6, 8 and 10: what the head alone decides, what the meters allow, and how large the body is.

use std::net::IpAddr;

use super::{Step, Subject, Verdict};
use crate::domain::sensitive::MASK;
use crate::domain::{Framing, Head, Refusal};
use crate::gate::pipeline::{admit, challenge, hops};
use crate::guards::access::AccessList;
use crate::guards::meter::Rate;
use crate::runtime::snapshot::{AddressCheck, Listener, Route, Snapshot};

const STEP: &str = "admit";

pub(super) fn judge(snapshot: &Snapshot, route: &Route, subject: &Subject<'_>) -> Vec<Step> {
    let head = subject.head;
    let mut steps = vec![method(route, head), address(snapshot, route, subject), client_certificate(route, subject)];
    if route.headers.is_empty() {
        steps.push(Step::new(STEP, "headers", Verdict::Skipped, "the route requires none"));
    }
    for required in &route.headers {
        // A name that says that its value is a secret: it is neither told nor, in a stored request, known.
        let hidden = snapshot.sensitive.hides(&required.name);
        let told = |values: &Vec<String>| if hidden { MASK.to_owned() } else { values.join(", ") };
        let values = required.values.as_ref().map(told);
        let line = head.headers().first(&required.name);
        let there = line.is_some();
        let blank = hidden && subject.recorded.is_some() && line.is_some_and(<[u8]>::is_empty);
        steps.push(match (admit::required_header(required, head), values) {
            (Ok(()), Some(values)) => {
                Step::new(STEP, "headers", Verdict::Passed, format!("{} is one of: {values}", required.name))
            }
            (Ok(()), None) => Step::new(STEP, "headers", Verdict::Passed, format!("{} is there", required.name)),
            (Err(_), Some(_)) if blank => {
                let because =
                    format!("{} is there; it was checked when it came, and its value is not kept", required.name);
                Step::new(STEP, "headers", Verdict::Unknown, because)
            }
            (Err(refusal), Some(values)) if there => {
                let because = format!("every line of {} must be one of: {values}", required.name);
                Step::refused(STEP, "headers", refusal.code(), because)
            }
            (Err(refusal), values) => {
                let of = values.map_or_else(String::new, |values| format!("; allowed: {values}"));
                Step::refused(STEP, "headers", refusal.code(), format!("there is no {}{of}", required.name))
            }
        });
    }
    steps.push(content_type(route, head));
    steps.extend(loops(head));
    steps.push(size(route, head));
    steps.push(source_limits(route, subject));
    steps
}

fn method(route: &Route, head: &Head) -> Step {
    let because = format!("{}; the route takes {}", head.method().as_str(), route.allow_header);
    if challenge::is_announced(route, head) {
        return Step::new(
            STEP,
            "method",
            Verdict::Passed,
            format!("{}, as a challenge has it", head.method().as_str()),
        );
    }
    match admit::method(route, head) {
        Ok(()) => Step::new(STEP, "method", Verdict::Passed, because),
        Err(refusal) => Step::refused(STEP, "method", refusal.code(), because),
    }
}

/// What the listener denies, whatever the route is; `None` where it denies nobody.
pub(super) fn denials(snapshot: &Snapshot, subject: &Subject<'_>) -> Option<Step> {
    const CHECK: &str = "denied";
    let listener = super::route::listener(snapshot, subject).filter(|listener| listener.deny.denies())?;
    let names = names(listener.deny.denied());
    let Some(ip) = subject.source else {
        let because = format!("where it came from is not known; listener `{}` denies: {names}", listener.name);
        return Some(Step::new(STEP, CHECK, Verdict::Unknown, because));
    };
    Some(match admit::address(&listener.deny, listener, ip) {
        Ok(_) => {
            let because = format!("{ip} is in none of what listener `{}` denies: {names}", listener.name);
            Step::new(STEP, CHECK, Verdict::Passed, because)
        }
        Err(refusal) => {
            let of_connections = "its connection is closed before TLS; behind a listed proxy, each request is refused";
            let step = Step::refused(STEP, CHECK, refusal.code(), why(&listener.deny, refusal, ip));
            step.with_hints((refusal == Refusal::AddressDenied).then(|| of_connections.to_owned()))
        }
    })
}

fn address(snapshot: &Snapshot, route: &Route, subject: &Subject<'_>) -> Step {
    const CHECK: &str = "address";
    let list = &route.access;
    if !list.restricts() {
        return Step::new(STEP, CHECK, Verdict::Skipped, "the route has no list: every address may send");
    }
    let Some(ip) = subject.source else {
        let admitted = list.lists_admitted().then(|| admitted(list));
        let denied = list.denies().then(|| format!("denies {}", names(list.denied())));
        let asked: Vec<String> = admitted.into_iter().chain(denied).collect();
        let because = format!("where it came from is not known; the route asks: {}", asked.join("; "));
        return Step::new(STEP, CHECK, Verdict::Unknown, because);
    };
    let Some(listener) = super::route::listener(snapshot, subject) else {
        return Step::new(STEP, CHECK, Verdict::Unknown, "the configuration has no listener");
    };
    let refusal = match admit::address(list, listener, ip) {
        Ok(Some(entry)) => return Step::new(STEP, CHECK, Verdict::Passed, format!("{ip} is in {entry}")),
        Ok(None) => {
            let because = format!("{ip} is in none of what is denied: {}", names(list.denied()));
            return Step::new(STEP, CHECK, Verdict::Passed, because);
        }
        Err(refusal) => refusal,
    };
    let why = why(list, refusal, ip);
    let nearest = list.nearest(ip).filter(|_| refusal == Refusal::AddressNotAllowed).map(|(first, last, name)| {
        let range = if first == last { first.to_string() } else { format!("{first} to {last}") };
        format!("the nearest entry is {name} with {range}")
    });
    let step = match route.address_check {
        AddressCheck::Enforce => Step::refused(STEP, CHECK, refusal.code(), why),
        AddressCheck::Observe => {
            let because = format!("would be refused ({}), but the lists are only observed: {why}", refusal.code());
            Step::new(STEP, CHECK, Verdict::Passed, because)
        }
    };
    step.with_hints(nearest.into_iter().chain(closed(listener, subject, ip)))
}

/// The entry, or the lack of one, that decided against a source.
fn why(list: &AccessList, refusal: Refusal, ip: IpAddr) -> String {
    match (list.denied_by(ip), refusal) {
        (Some(entry), _) => format!("{ip} is denied by {entry}"),
        (None, Refusal::AddressUnknown) => {
            format!("{ip} is a listed proxy, which did not tell who sent it; denied are: {}", names(list.denied()))
        }
        (None, _) => format!("{ip} is in none of: {}", admitted(list)),
    }
}

fn admitted(list: &AccessList) -> String {
    let names = names(list.admitted());
    if names.is_empty() { "the list is empty and admits nobody".to_owned() } else { names }
}

fn names<'l>(entries: impl Iterator<Item = &'l str>) -> String {
    entries.collect::<Vec<_>>().join(", ")
}

/// A connection that no route of the listener can want is closed before TLS, so its sender never sees a 403.
fn closed(listener: &Listener, subject: &Subject<'_>, ip: IpAddr) -> Option<String> {
    let closed = subject.recorded.is_none() && listener.admits.as_ref().is_some_and(|admits| !admits.contains(ip));
    closed
        .then(|| format!("no route of listener `{}` admits it, so its connection is closed before TLS", listener.name))
}

fn client_certificate(route: &Route, subject: &Subject<'_>) -> Step {
    const CHECK: &str = "client certificate";
    let refused = Refusal::ClientCertificateRequired.code();
    match subject.recorded {
        _ if !route.client_auth => Step::new(STEP, CHECK, Verdict::Skipped, "the route asks for none"),
        Some(recorded) if recorded.reason == refused => {
            Step::refused(STEP, CHECK, refused, "the connection showed none that was accepted")
        }
        _ => Step::new(
            STEP,
            CHECK,
            Verdict::Unknown,
            "the route wants one, and only the connection knows whether it showed one",
        ),
    }
}

fn content_type(route: &Route, head: &Head) -> Step {
    const CHECK: &str = "content type";
    let Some(types) = &route.content_types else {
        return Step::new(STEP, CHECK, Verdict::Skipped, "the route takes every one");
    };
    if challenge::is_announced(route, head) {
        return Step::new(STEP, CHECK, Verdict::Skipped, "a challenge may have every one");
    }
    let types = types.join(", ");
    let value = head.headers().first("content-type").and_then(|value| std::str::from_utf8(value).ok());
    match (admit::content_type(route, head), value) {
        (Ok(()), value) => {
            Step::new(STEP, CHECK, Verdict::Passed, format!("{}; the route takes {types}", value.unwrap_or_default()))
        }
        (Err(refusal), Some(value)) => {
            let lines = head.headers().all("content-type").count();
            let because = if lines > 1 {
                format!("it is there {lines} times; the route takes one of {types}")
            } else {
                format!("{}; the route takes {types}", value.chars().take(100).collect::<String>())
            };
            Step::refused(STEP, CHECK, refusal.code(), because)
        }
        (Err(refusal), None) => {
            Step::refused(STEP, CHECK, refusal.code(), format!("there is no Content-Type; the route takes {types}"))
        }
    }
}

/// Nothing where no relay was before this one, which is nearly always.
fn loops(head: &Head) -> Option<Step> {
    const CHECK: &str = "loop";
    head.headers().first(hops::FIELD)?;
    let because = format!("{} says {}, fewer than {} are taken", hops::FIELD, hops::passed(head), hops::MOST);
    Some(match hops::check(head) {
        Ok(()) => Step::new(STEP, CHECK, Verdict::Passed, because),
        Err(refusal) => Step::refused(STEP, CHECK, refusal.code(), because),
    })
}

fn size(route: &Route, head: &Head) -> Step {
    const CHECK: &str = "size";
    let because = match head.framing() {
        Framing::Length(length) => format!("{length} bytes declared, at most {} taken", route.max_body),
        Framing::Empty => "no body".to_owned(),
        Framing::Unknown => format!("no length declared, at most {} bytes taken", route.max_body),
    };
    match admit::declared_size(route, head) {
        Ok(()) => Step::new(STEP, CHECK, Verdict::Passed, because),
        Err(refusal) => Step::refused(STEP, CHECK, refusal.code(), because),
    }
}

/// What one address may send, before anything is proven.
fn source_limits(route: &Route, subject: &Subject<'_>) -> Step {
    let limits = rate("from one source", route.limits.rate_per_source);
    metered("meter", "limits", limits.as_slice(), &[Refusal::SourceRateLimited], subject)
}

/// What the route's genuine requests share; asked last, about them only.
pub(super) fn route_limits(route: &Route, subject: &Subject<'_>) -> Step {
    let limits =
        [rate("for the route", route.limits.rate), route.limits.max_in_flight.map(|most| format!("{most} in flight"))];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    metered("dedupe", "route limits", &limits, &[Refusal::RouteRateLimited, Refusal::RouteBusy], subject)
}

fn rate(what: &str, rate: Option<Rate>) -> Option<String> {
    rate.map(|rate| format!("{} per second {what}, {} at once", rate.per_second, rate.burst))
}

/// What is configured; how full a bucket was at some moment is nobody's memory.
fn metered(
    step: &'static str,
    check: &'static str,
    limits: &[String],
    refusals: &[Refusal],
    subject: &Subject<'_>,
) -> Step {
    let limits = limits.join("; ");
    let recorded = subject.recorded.map(|recorded| recorded.reason);
    match recorded.and_then(|reason| refusals.iter().find(|refusal| refusal.code() == reason)) {
        Some(refusal) => Step::refused(step, check, refusal.code(), format!("used up when it came; allowed: {limits}")),
        None if limits.is_empty() => Step::new(step, check, Verdict::Skipped, "the route has none"),
        None => Step::new(step, check, Verdict::Unknown, format!("{limits}; what was used at a moment is not kept")),
    }
}

/// Step 8.
pub(super) fn body(route: &Route, subject: &Subject<'_>) -> Step {
    match subject.body {
        None => Step::new("body", "body", Verdict::Unknown, "it was not kept"),
        Some(body) if body.len() as u64 > route.max_body => {
            let because = format!("{} bytes, at most {} taken", body.len(), route.max_body);
            Step::refused("body", "body", Refusal::BodyTooLarge.code(), because)
        }
        Some(body) => Step::new("body", "body", Verdict::Passed, format!("{} bytes", body.len())),
    }
}
