//! One admin request and its answer.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Serialize;

use super::actions;
use super::configuration;
use super::events::{self, Denied, EventSource, filter};
use super::places::Place;
use super::roles::Caller;
use super::router::{self, Access, Action, Found};
use super::status::ReloadReport;
use super::{AdminSource, Exposure, Ongoing, Peer};
use crate::domain::ActionResult;
use crate::observe::{ActionOrigin, AdminAction};

/// Nothing here needs a body; one that comes is read to this point and ignored.
const BODY: usize = 64 * 1024;
/// For reading a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// For a reload, which reads files that may be on a slow disk.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// What takes time: a disk is read.
const FROM_DISK: [&str; 3] = ["/api/v1/events", "/api/v1/config", "/api/v1/actions"];

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What `GET /api/v1/openapi.json` answers.
const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

pub(super) type Answer = Response<Full<Bytes>>;

pub(super) async fn respond<S: AdminSource + EventSource>(
    source: &S,
    ongoing: &Ongoing,
    place: &Place,
    peer: Peer,
    exposure: Exposure,
    request: Request<Incoming>,
) -> Answer {
    place.all().turn().await;
    let (head, body) = request.into_parts();
    if let Err(why) = admit(&head.headers, peer, exposure) {
        return text(StatusCode::FORBIDDEN, why);
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY).collect()).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or broken\n"),
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n"),
    }
    let (endpoint, id) = match router::find(&head.method, head.uri.path()) {
        Found::Endpoint(endpoint, id) => (endpoint, id),
        Found::NotAllowed(allow) => return not_allowed(allow),
        Found::Nothing => return text(StatusCode::NOT_FOUND, "see docs/operating.md for what is here\n"),
    };
    let caller = match peer {
        Peer::Unix(caller) => Some(caller),
        Peer::Tcp if endpoint.access == Access::Scraper => None,
        Peer::Tcp => return events::failure(&Denied::ScrapeOnly),
    };
    let query = head.uri.query().unwrap_or_default();
    let told = |answer: Answer| {
        if let Some((caller, facts)) = caller.zip(Facts::of(endpoint.action, id, query)) {
            record(source, &caller, &facts, &answer);
        }
        answer
    };
    if caller.is_some_and(|caller| !caller.may(endpoint.access, &source.roles())) {
        let denied = if endpoint.access == Access::Reader { Denied::NotReader } else { Denied::NotOperator };
        return told(events::failure(&denied));
    }
    // Until here its sender could be waited for; from here on it has an answer coming, and keeps its place.
    let _busy = place.busy();
    let from_disk = FROM_DISK.iter().any(|path| endpoint.path.starts_with(path));
    let _asked = match (endpoint.action, from_disk) {
        (Action::Reload, _) => match place.all().reload() {
            None => return told(text(StatusCode::SERVICE_UNAVAILABLE, "too many wait for a reload already\n")),
            permit => permit,
        },
        (_, true) => match place.all().question() {
            None => return told(events::failure(&Denied::Busy)),
            permit => permit,
        },
        (_, false) => None,
    };
    if let (Action::EventBody, Some(caller)) = (endpoint.action, caller)
        && let Some(export) = events::of_export(source, &ongoing.exports, caller.uid, id, query).await
    {
        // The export is the action.
        let answer = events::body(source, id).await;
        if answer.status().is_success() {
            source.exported(&export);
        }
        return answer;
    }
    told(match endpoint.action {
        Action::Health => text(StatusCode::OK, "ok\n"),
        Action::Readiness => readiness(source.ready()),
        Action::Metrics => answer(StatusCode::OK, PROMETHEUS, source.metrics()),
        Action::Status => json(StatusCode::OK, &source.status()),
        Action::Reload => reload(source, query).await,
        Action::Config => configuration::running(source).await,
        Action::Versions => configuration::versions(source).await,
        Action::Version => configuration::version(source, id).await,
        Action::Document => answer(StatusCode::OK, JSON, DOCUMENT),
        Action::Events => events::events(source, &ongoing.waiting, query).await,
        Action::Event => events::event(source, id).await,
        Action::EventBody => events::body(source, id).await,
        Action::Explanation => events::explanation(source, id).await,
        Action::Redeliver => events::redeliver(source, id).await,
        Action::Retry => events::retry(source, id).await,
        Action::Discard => events::discard(source, id).await,
        Action::RetryWaiting => events::retry_waiting(source, query).await,
        Action::Export => {
            events::export(source, &ongoing.exports, caller.map(|caller| caller.uid).unwrap_or_default(), query).await
        }
        Action::Actions => actions::actions(source, query).await,
    })
}

/// What is recorded of a request.
struct Facts {
    action: &'static str,
    id: Option<String>,
    detail: Option<String>,
}

impl Facts {
    /// `None`: nothing.
    fn of(action: Action, id: &str, query: &str) -> Option<Self> {
        let name = action.recorded()?;
        let (name, detail) = match action {
            Action::Reload => match rollback(query) {
                Ok(Some(version)) => ("rollback", Some(format!("version={version}"))),
                _ => (name, None),
            },
            Action::Version => {
                (name, Some(id).filter(|id| id.parse::<u64>().is_ok()).map(|id| format!("version={id}")))
            }
            Action::RetryWaiting | Action::Export => (name, actions::filters(query)),
            _ => (name, None),
        };
        let of_event = !matches!(action, Action::Version);
        let id = Some(id).filter(|id| of_event && events::is_id(id)).map(str::to_owned);
        Some(Self { action: name, id, detail })
    }
}

/// The version that a reload goes back to; `None`: it is one like any other.
fn rollback(query: &str) -> Result<Option<u64>, Denied> {
    let mut version = None;
    for (name, value) in filter::fields(query)? {
        let number = value.parse().ok().filter(|_| name == "rollback");
        version = Some(number.ok_or_else(|| Denied::BadParameter("only rollback=VERSION is known here".to_owned()))?);
    }
    Ok(version)
}

/// One line, one count and one row of who did what, and of who wanted to.
fn record<S: AdminSource>(source: &S, caller: &Caller, facts: &Facts, answer: &Answer) {
    let result = match answer.status() {
        StatusCode::FORBIDDEN => ActionResult::Refused,
        status if status.is_success() => ActionResult::Done,
        _ => ActionResult::Failed,
    };
    source.acted(&AdminAction {
        action: facts.action,
        result,
        status: answer.status().as_u16(),
        uid: Some(caller.uid),
        user: caller.user().as_deref(),
        pid: caller.pid,
        id: facts.id.as_deref(),
        count: answer.extensions().get().map(|events::Count(count)| *count),
        detail: facts.detail.as_deref(),
        token: answer.extensions().get().map(|events::Token(token)| token.as_str()),
        from: if caller.is_of_own_unit() { ActionOrigin::Manager } else { ActionOrigin::Socket },
    });
}

/// Turns browsers away. A page sends its `Origin`; a page whose name was rebound to loopback sends that name as `Host`.
fn admit(headers: &HeaderMap, peer: Peer, exposure: Exposure) -> Result<(), &'static str> {
    if headers.contains_key(ORIGIN) {
        return Err("requests of web pages are not answered\n");
    }
    let named = matches!(peer, Peer::Unix(_))
        || exposure == Exposure::Network
        || headers.get(HOST).is_none_or(names_this_machine);
    if named { Ok(()) } else { Err("the Host of a request must be an IP address or localhost\n") }
}

fn names_this_machine(host: &HeaderValue) -> bool {
    let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return false };
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

fn readiness(ready: bool) -> Answer {
    if ready { text(StatusCode::OK, "ready\n") } else { text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}

async fn reload<S: AdminSource>(source: &S, query: &str) -> Answer {
    if let Err(denied) = rollback(query) {
        return events::failure(&denied);
    }
    match tokio::time::timeout(RELOAD_TIMEOUT, source.reload()).await {
        Ok(Some(report @ ReloadReport::Kept { .. })) => json(StatusCode::UNPROCESSABLE_ENTITY, &report),
        Ok(Some(report)) => json(StatusCode::OK, &report),
        Ok(None) => text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"),
        Err(_) => text(StatusCode::GATEWAY_TIMEOUT, "the reload goes on; see the status for what comes of it\n"),
    }
}

fn not_allowed(allow: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "not with this method\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

fn text(status: StatusCode, body: &'static str) -> Answer {
    answer(status, TEXT, body)
}

pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(body) => answer(status, JSON, body),
        // Only a map with keys that are no strings fails; the types have none.
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the status cannot be written\n"),
    }
}

pub(super) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_name_this_machine() {
        for host in ["127.0.0.1", "127.0.0.1:9600", "[::1]:9600", "[::1]", "localhost", "LOCALHOST:9600", "10.0.0.1"] {
            assert!(names_this_machine(&HeaderValue::from_static(host)), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9600", "", "a b", "[::1"] {
            assert!(!names_this_machine(&HeaderValue::from_static(host)), "{host}");
        }
    }
}
