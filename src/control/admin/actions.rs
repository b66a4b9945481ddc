//! Who did what: `GET /api/v1/actions`, and what a record says of a request beside its id.

use serde::{Deserialize, Serialize};

use super::events::{self, Denied, EventSource, filter};
use super::respond::{Answer, json};
use crate::domain::ActionResult;
use crate::scheme::form;
use crate::store::{self, ActionQuery};

/// Actions of one page, at most.
const PAGE_MAX: usize = 1000;
/// What of a question is not one of its filters.
const OF_PAGES: [&str; 4] = ["order", "limit", "after", "wait"];

/// `GET /api/v1/actions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionPage {
    /// The newest first.
    pub actions: Vec<ActionRow>,
    /// For `after=`; `null` when that was all.
    pub next: Option<String>,
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRow {
    /// RFC 3339 in UTC.
    pub at: String,
    /// What was asked for.
    pub action: String,
    /// `done`, `failed` or `refused`.
    pub result: ActionResult,
    /// The answer's status.
    pub status: u16,
    /// The caller's user id; `null` for a signal.
    pub uid: Option<u32>,
    /// Its name, where the host knew it.
    pub user: Option<String>,
    /// The caller's process.
    pub pid: Option<i32>,
    /// `unix socket`, `systemd` (`systemctl reload`) or `signal`.
    pub from: String,
    /// The event that it was about.
    pub id: Option<String>,
    /// How many requests it touched.
    pub count: Option<u64>,
    /// The filters of an export, a route, a version.
    pub detail: Option<String>,
}

impl From<store::Action> for ActionRow {
    fn from(action: store::Action) -> Self {
        let store::Action { at, action, result, status, uid, user, pid, from, request_id, count, detail, token: _ } =
            action;
        let text = |text: Option<Box<str>>| text.map(String::from);
        Self {
            at: format!("{at:.3}"),
            action: action.into(),
            result,
            status,
            uid,
            user: text(user),
            pid,
            from: from.into(),
            id: text(request_id),
            count,
            detail: text(detail),
        }
    }
}

pub(super) async fn actions<S: EventSource>(source: &S, raw: &str) -> Answer {
    let asked = match query(raw, source) {
        Ok(query) => source.actions(query).await,
        Err(denied) => Err(denied),
    };
    match asked {
        Ok(page) => {
            let actions = page.actions.into_iter().map(ActionRow::from).collect();
            json(http::StatusCode::OK, &ActionPage { actions, next: page.next.map(|next| next.to_string()) })
        }
        Err(denied) => events::failure(&denied),
    }
}

fn query(raw: &str, source: &impl EventSource) -> Result<ActionQuery, Denied> {
    let mut query = ActionQuery::default();
    for (name, value) in filter::fields(raw)? {
        let number = |most: i64| value.parse().ok().filter(|number| (1..=most).contains(number));
        let wrong = |what: &str| Denied::BadParameter(format!("{name}: it {what}"));
        match &*name {
            "since" => query.since = Some(filter::instant(&name, &value, source.now())?),
            "until" => query.until = Some(filter::instant(&name, &value, source.now())?),
            "action" => query.action = Some(value),
            "result" => match ActionResult::parse(&value) {
                ActionResult::Unknown => return Err(wrong("is done, failed or refused")),
                result => query.result = Some(result),
            },
            "user" => query.user = Some(value),
            "id" => query.request_id = Some(value),
            "limit" => {
                let limit = number(PAGE_MAX as i64).and_then(|limit| usize::try_from(limit).ok());
                query.limit = limit.ok_or_else(|| wrong(&format!("is 1 to {PAGE_MAX}")))?;
            }
            "after" => {
                query.before = Some(number(i64::MAX).ok_or_else(|| wrong("is what an answer had under \"next\""))?);
            }
            _ => {
                let known = "since, until, action, result, user, id, limit, after";
                return Err(Denied::BadParameter(format!("there is no parameter \"{name}\"; known: {known}")));
            }
        }
    }
    Ok(query)
}

/// A question's filters in words. The text of a search is left out: somebody may look for a secret.
pub(super) fn filters(raw: &str) -> Option<String> {
    let fields = form::fields(raw.as_bytes()).ok()?;
    let words = fields.iter().filter_map(|(name, value)| {
        let (name, value) = (std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?);
        let value = if name == "text" { "***" } else { value };
        (!OF_PAGES.contains(&name)).then(|| format!("{name}={value}"))
    });
    let words = words.collect::<Vec<_>>().join(", ");
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_search_is_not_repeated() {
        assert_eq!(filters("route=a&text=t0ken&limit=7&after=3").as_deref(), Some("route=a, text=***"));
        assert_eq!(filters("order=asc"), None);
    }
}
