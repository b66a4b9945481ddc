//! Filters that cannot match: a name that neither the configuration nor a row has. "No event matches" would be true of a typing
//! mistake as well.

use std::sync::Arc;

use crate::config::near::nearest;
use crate::config::recipe::builtin_names;
use crate::control::admin::events::Denied;
use crate::domain::{HistoryOutcome, Outcome};
use crate::runtime::snapshot::Snapshot;
use crate::store::{Query, Store};

/// Characters of a name that come back to its sender.
const SHOWN: usize = 40;

/// A filter with the names that can match it: what it is called, what is asked for, what is known, and how a question asks for it alone.
type Filter<'q> = (&'static str, &'q Option<String>, Vec<&'q str>, fn(&mut Query, String));

/// For a question that nothing matched: refuses it where one of its names can match nothing.
pub(super) async fn refuse(store: &Store, snapshot: &Snapshot, query: &Query) -> Result<(), Denied> {
    let only = |set: fn(&mut Query, String), value: &str| {
        let mut query = Query { limit: 1, ..Query::default() };
        set(&mut query, value.to_owned());
        query
    };
    let routes = || snapshot.routes.iter().map(|route| &*route.name);
    let providers = || snapshot.routes.iter().filter_map(|route| route.provider.as_deref());
    let named: [Filter<'_>; 4] = [
        ("route", &query.route, routes().collect(), |query, name| query.route = Some(name)),
        ("provider", &query.provider, providers().chain(builtin_names().iter().copied()).collect(), |query, name| {
            query.provider = Some(name);
        }),
        ("outcome", &query.outcome, HistoryOutcome::ALL.map(HistoryOutcome::as_str).to_vec(), |query, name| {
            query.outcome = Some(name);
        }),
        ("reason", &query.reason, Outcome::reasons().collect(), |query, name| query.reason = Some(name)),
    ];
    for (what, value, known, set) in named {
        let Some(value) = value.as_deref().filter(|value| !known.contains(value)) else { continue };
        // A route that was removed has events still.
        let rows = store.page(only(set, value), Arc::clone(&snapshot.sensitive)).await?;
        if rows.events.is_empty() && rows.next.is_none() {
            return Err(Denied::BadParameter(no_such(what, value, &known)));
        }
    }
    Ok(())
}

fn no_such(what: &str, value: &str, known: &[&str]) -> String {
    let near = nearest(value, known.iter().copied()).map(|near| format!("; did you mean \"{near}\"?"));
    let shown: String = value.chars().filter(|char| !char.is_control()).take(SHOWN).collect();
    format!("{what}: there is no {what} \"{shown}\", and no event has it{}", near.unwrap_or_default())
}
