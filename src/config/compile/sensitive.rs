//! What of a request is neither kept nor shown: every place where any route or recipe looks for a token or a signature, and every
//! name under which we send a secret of our own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::routes::Routes;
use crate::config::recipe::Recipe;
use crate::domain::{Class, Place, Sensitive};
use crate::runtime::snapshot::{Route, Verification};

/// Fields that an operator may set for the upstream and that say nothing secret in a request.
const HARMLESS: [&str; 9] = [
    "accept",
    "accept-encoding",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-type",
    "date",
    "host",
    "user-agent",
];

/// Of the whole configuration.
pub(super) fn of(routes: &Routes, providers: &BTreeMap<String, Option<Arc<Recipe>>>) -> Sensitive {
    let mut tokens = Vec::new();
    let recipes = providers.values().flatten().flat_map(|recipe| recipe.scheme.places());
    let mut places: Vec<(Class, Place<'_>)> = recipes.collect();
    for route in routes.iter() {
        let now = match &route.verify {
            Verification::Signed(verifier) => Some(verifier),
            Verification::DangerouslyNone => None,
        };
        let observed = route.observed.as_ref().and_then(|observed| observed.verify.as_ref());
        for verifier in now.into_iter().chain(observed) {
            places.extend(verifier.scheme().places());
            tokens.extend(verifier.tokens());
        }
        places.extend(ours(route).map(|place| (Class::Secret, place)));
    }
    Sensitive::new(places, tokens)
}

/// Names under which the upstream gets secrets: what a sender writes there may be one of them.
fn ours(route: &Route) -> impl Iterator<Item = Place<'_>> {
    let harmless = |name: &str| HARMLESS.iter().any(|known| name.eq_ignore_ascii_case(known));
    let headers = route.forward.headers.iter().map(|(name, _)| name.as_str());
    let headers = headers.filter(move |name| !harmless(name)).map(Place::Field);
    headers.chain(route.forward.query.iter().map(|(name, _)| Place::Member(name)))
}
