//! Room that routes share, and how many of them do: a configuration says it, and each reload again.

use crate::runtime::snapshot::{Delivery, Snapshot};
use crate::runtime::state::State;

/// Tells dedupe memory and the store how many routes have a share of them.
pub(super) fn share(snapshot: &Snapshot, state: &State) {
    let remember = snapshot.routes.iter().filter(|route| route.dedupe.is_some()).count();
    state.dedupe.share_among(remember, snapshot.limits.dedupe_entries);
    if let Some(store) = state.store() {
        // Also a direct one, where its provider's patience would otherwise come to an end.
        let waits = |delivery| delivery != Delivery::Direct;
        let make_wait = snapshot.routes.iter().filter(|route| waits(route.delivery) || route.error_budget.is_some());
        store.share_among(make_wait.count());
    }
}
