//! One question about events, and its answer.

use http::StatusCode;
use http::header::CONTENT_DISPOSITION;

use super::filter::{self, Asked, parse};
use super::wait::{After, Waiting, follow};
use super::{Asking, Denied, Done, EventPage, EventSource, Exporting, Failure, Retried, Whose};
use crate::control::admin::exports::Exports;
use crate::control::admin::respond::{Answer, answer, json};
use crate::domain::HistoryOutcome;
use crate::scheme::form;

/// A request id is hexadecimal; what is not cannot be one, and goes into no header.
const ID_MAX: usize = 64;
/// For how many requests something was done; beside the answer, for the log.
#[derive(Clone, Copy)]
pub(in crate::control::admin) struct Count(pub(in crate::control::admin) u64);

/// By which bodies belong to an export; beside the answer, for the record.
#[derive(Clone)]
pub(in crate::control::admin) struct Token(pub(in crate::control::admin) String);

const BYTES: &str = "application/octet-stream";

pub(in crate::control::admin) async fn events<S: EventSource>(source: &S, waiting: &Waiting, raw: &str) -> Answer {
    match list(source, waiting, raw).await {
        Ok(page) => json(StatusCode::OK, &page),
        Err(denied) => failure(&denied),
    }
}

async fn list<S: EventSource>(source: &S, waiting: &Waiting, raw: &str) -> Result<EventPage, Denied> {
    let Asked { mut query, after, wait } = parse(raw, source.now())?;
    let Some(wait) = wait else {
        query.after = match after {
            None => None,
            Some(After::Row(cursor)) => Some(cursor),
            Some(After::Recorded(..)) => {
                return Err(Denied::BadParameter("after: this one goes with wait only".to_owned()));
            }
        };
        let listed = source.page(query).await?;
        return Ok(EventPage { events: listed.events, next: listed.next.map(|next| After::Row(next).text()) });
    };
    let (events, next) = follow(source, waiting, query, after, wait).await?;
    Ok(EventPage { events, next: Some(next.text()) })
}

pub(in crate::control::admin) async fn event<S: EventSource>(source: &S, id: &str) -> Answer {
    told(id, source.event(id)).await
}

pub(in crate::control::admin) async fn explanation<S: EventSource>(source: &S, id: &str) -> Answer {
    told(id, source.explanation(id)).await
}

pub(in crate::control::admin) async fn redeliver<S: EventSource>(source: &S, id: &str) -> Answer {
    told(id, source.redeliver(id)).await
}

pub(in crate::control::admin) async fn retry<S: EventSource>(source: &S, id: &str) -> Answer {
    done(id, source.retry(id), "waiting").await
}

pub(in crate::control::admin) async fn discard<S: EventSource>(source: &S, id: &str) -> Answer {
    done(id, source.discard(id), HistoryOutcome::Discarded.as_str()).await
}

pub(in crate::control::admin) async fn retry_waiting<S: EventSource>(source: &S, raw: &str) -> Answer {
    let asked = match whose(raw) {
        Ok(whose) => source.retry_waiting(whose).await,
        Err(denied) => Err(denied),
    };
    match asked {
        Ok(waiting) => {
            let mut answer = json(StatusCode::OK, &Retried { waiting });
            answer.extensions_mut().insert(Count(waiting));
            answer
        }
        Err(denied) => failure(&denied),
    }
}

/// Begins an export of what these filters find.
pub(in crate::control::admin) async fn export<S: EventSource>(
    source: &S,
    exports: &Exports,
    uid: u32,
    raw: &str,
) -> Answer {
    let begun = source.bookmark().and_then(|_| parse(raw, source.now()));
    match begun {
        Ok(Asked { query, .. }) => {
            let token = exports.begin(uid, query, source.now());
            let mut answer = json(StatusCode::OK, &Exporting { export: token.clone() });
            answer.extensions_mut().insert(Token(token));
            answer
        }
        Err(denied) => failure(&denied),
    }
}

/// The export that a body is asked for by, if it is one of its bodies.
pub(in crate::control::admin) async fn of_export<S: EventSource>(
    source: &S,
    exports: &Exports,
    uid: u32,
    id: &str,
    raw: &str,
) -> Option<String> {
    let (_, token) = filter::fields(raw).ok()?.into_iter().find(|(name, _)| name == "export")?;
    exports.has(source, &token, uid, id).await.then_some(token)
}

fn whose(raw: &str) -> Result<Whose, Denied> {
    let mut whose = Whose::All;
    let bad = |what: &str| Denied::BadParameter(what.to_owned());
    let fields = form::fields(raw.as_bytes()).map_err(|_| bad("the query is not percent-encoded as it should be"))?;
    for (name, value) in fields {
        let value = String::from_utf8(value.into_owned()).map_err(|_| bad("a value is not text"))?;
        let named = match &*name {
            b"route" => Whose::Route(value),
            b"upstream" => Whose::Upstream(value),
            _ => return Err(bad("only route and upstream are known here")),
        };
        if std::mem::replace(&mut whose, named) != Whose::All {
            return Err(bad("either route or upstream, once"));
        }
    }
    Ok(whose)
}

/// As it was received. No browser may take it for a page.
pub(in crate::control::admin) async fn body<S: EventSource>(source: &S, id: &str) -> Answer {
    if !is_id(id) {
        return failure(&Denied::Unknown);
    }
    match source.body(id).await {
        Ok(bytes) => {
            let mut answer = answer(StatusCode::OK, BYTES, bytes);
            let name = format!("attachment; filename=\"{id}.body\"");
            if let Ok(name) = name.parse() {
                answer.headers_mut().insert(CONTENT_DISPOSITION, name);
            }
            answer
        }
        // Here the body itself was asked for, so that it is not there is no conflict.
        Err(denied @ Denied::BodyNotKept) => failed(StatusCode::NOT_FOUND, &denied),
        Err(denied) => failure(&denied),
    }
}

async fn told<T: serde::Serialize>(id: &str, asking: Asking<'_, T>) -> Answer {
    if !is_id(id) {
        return failure(&Denied::Unknown);
    }
    match asking.await {
        Ok(told) => json(StatusCode::OK, &told),
        Err(denied) => failure(&denied),
    }
}

async fn done(id: &str, asking: Asking<'_, ()>, state: &str) -> Answer {
    if !is_id(id) {
        return failure(&Denied::Unknown);
    }
    match asking.await {
        Ok(()) => json(StatusCode::OK, &Done { id: id.to_owned(), state: state.to_owned() }),
        Err(denied) => failure(&denied),
    }
}

pub(crate) fn is_id(id: &str) -> bool {
    (1..=ID_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(in crate::control::admin) fn failure(denied: &Denied) -> Answer {
    let status = match denied {
        Denied::BadParameter(_) => StatusCode::BAD_REQUEST,
        Denied::ScrapeOnly | Denied::NotOperator | Denied::NotReader => StatusCode::FORBIDDEN,
        Denied::NoStore | Denied::Unknown | Denied::RouteUnknown | Denied::UpstreamUnknown | Denied::VersionUnknown => {
            StatusCode::NOT_FOUND
        }
        Denied::BodyNotKept
        | Denied::Unverified
        | Denied::VerifiedOtherwise
        | Denied::RouteGone
        | Denied::Waiting
        | Denied::Dead
        | Denied::NotRetryable
        | Denied::NotWaiting => StatusCode::CONFLICT,
        Denied::Busy | Denied::StoreFailed => StatusCode::SERVICE_UNAVAILABLE,
    };
    failed(status, denied)
}

fn failed(status: StatusCode, denied: &Denied) -> Answer {
    json(status, &Failure { error: denied.text().to_owned(), code: denied.code().to_owned() })
}
