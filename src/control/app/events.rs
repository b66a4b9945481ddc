//! The history for the admin listener: store rows in, what may be shown out.

mod show;
mod unmatched;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::admin::Source;
use crate::base::UnixMillis;
use crate::control::admin::events::{
    Asking, Denied, EventDetail, EventSource, Listed, Recorded, RedeliveryReport, Whose,
};
use crate::delivery::operator::{Refused, Waiting};
use crate::delivery::{self, NotRedelivered};
use crate::gate::explain::{EventExplanation, explain_event};
use crate::gate::pipeline::Gate;
use crate::observe::{AdminAction, Event};
use crate::store::{Action, ActionPage, ActionQuery, Bookmark, Query, Store, Unstored};

/// Explanations under way.
static EXPLAINING: Semaphore = Semaphore::const_new(1);

impl Source {
    fn history(&self) -> Result<&Arc<Store>, Denied> {
        self.relay().gate.state.store().ok_or(Denied::NoStore)
    }

    /// Why nothing was done to a request: there is none, or this.
    async fn otherwise(&self, id: &str, why: Denied) -> Denied {
        let Ok(store) = self.history() else { return Denied::NoStore };
        match store.event(id).await {
            Ok(Some(_)) => why,
            Ok(None) => Denied::Unknown,
            Err(_) => Denied::StoreFailed,
        }
    }
}

impl EventSource for Source {
    fn now(&self) -> UnixMillis {
        self.relay().gate.clock.now()
    }

    fn page(&self, query: Query) -> Asking<'_, Listed> {
        Box::pin(async move {
            let (store, snapshot) = (self.history()?, self.relay().snapshot());
            let sensitive = Arc::clone(&snapshot.sensitive);
            let page = store.page(query.clone(), Arc::clone(&sensitive)).await?;
            if page.events.is_empty() && page.next.is_none() && query.after.is_none() {
                unmatched::refuse(store, &snapshot, &query).await?;
            }
            Ok(Listed {
                events: page.events.iter().map(|event| show::row(event, &sensitive)).collect(),
                next: page.next,
            })
        })
    }

    fn bookmark(&self) -> Result<Bookmark, Denied> {
        Ok(self.history()?.bookmark())
    }

    fn recorded_since(&self, since: Bookmark, most: usize, wait: Duration) -> Asking<'_, Recorded> {
        Box::pin(async move { Ok(self.history()?.recorded_since(since, most, wait).await) })
    }

    fn event<'a>(&'a self, id: &'a str) -> Asking<'a, EventDetail> {
        Box::pin(async move {
            let event = self.history()?.event(id).await?.ok_or(Denied::Unknown)?;
            Ok(show::detail(&event, &self.relay().snapshot().sensitive))
        })
    }

    fn body<'a>(&'a self, id: &'a str) -> Asking<'a, Bytes> {
        Box::pin(async move {
            let event = self.history()?.event(id).await?.ok_or(Denied::Unknown)?;
            let body = event.entry.body.ok_or(Denied::BodyNotKept)?;
            Ok(match self.relay().snapshot().sensitive.body(&body) {
                Cow::Borrowed(_) => body,
                Cow::Owned(masked) => masked.into(),
            })
        })
    }

    fn explanation<'a>(&'a self, id: &'a str) -> Asking<'a, EventExplanation> {
        Box::pin(async move {
            let event = self.history()?.event(id).await?.ok_or(Denied::Unknown)?;
            // A diagnosis may hash much. One at a time, and not on a thread that serves requests.
            let permit = EXPLAINING.acquire().await.map_err(|_| Denied::Busy)?;
            let (snapshot, now) = (self.relay().snapshot(), self.now());
            let explaining = tokio::task::spawn_blocking(move || {
                let explained = explain_event(&snapshot, &event, now);
                drop(permit);
                explained
            });
            // A panic, which the log has; or the end of the process.
            explaining.await.map_err(|_| Denied::StoreFailed)
        })
    }

    fn redeliver<'a>(&'a self, id: &'a str) -> Asking<'a, RedeliveryReport> {
        Box::pin(async move {
            let relay = self.relay();
            let redelivered = delivery::redeliver(&relay.gate, &relay.snapshot(), id).await?;
            Ok(show::redelivered(id, &redelivered))
        })
    }

    fn retry<'a>(&'a self, id: &'a str) -> Asking<'a, ()> {
        Box::pin(async move {
            match delivery::retry(&self.relay().gate, id).await {
                Err(Refused::NotThere) => Err(self.otherwise(id, Denied::NotRetryable).await),
                done => Ok(done?),
            }
        })
    }

    fn discard<'a>(&'a self, id: &'a str) -> Asking<'a, ()> {
        Box::pin(async move {
            match delivery::discard(&self.relay().gate, id).await {
                Err(Refused::NotThere) => Err(self.otherwise(id, Denied::NotWaiting).await),
                done => Ok(done?),
            }
        })
    }

    fn retry_waiting(&self, whose: Whose) -> Asking<'_, u64> {
        Box::pin(async move {
            let relay = self.relay();
            Ok(delivery::retry_waiting(&relay.gate, &relay.snapshot(), waiting_of(&whose)).await?)
        })
    }

    fn actions(&self, query: ActionQuery) -> Asking<'_, ActionPage> {
        Box::pin(async move { Ok(self.history()?.actions(query).await?) })
    }

    fn exported(&self, token: &str) {
        if let Ok(store) = self.history() {
            store.count_for(token, 1);
        }
    }
}

/// Records an action: a line, a count, and a row where there is a store.
pub(super) fn acted(gate: &Gate, action: &AdminAction<'_>) {
    gate.observer.record(&Event::AdminAction(*action));
    if let Some(store) = gate.state.store() {
        store.act(stored(action, gate.clock.now()));
    }
}

/// An action as the store keeps it.
fn stored(action: &AdminAction<'_>, at: UnixMillis) -> Action {
    let AdminAction { action, result, status, uid, user, pid, id, count, detail, token, from } = *action;
    let text = |text: Option<&str>| text.map(Into::into);
    Action {
        at,
        action: action.into(),
        result,
        status,
        uid,
        user: text(user),
        pid,
        from: from.as_str().into(),
        request_id: text(id),
        count,
        detail: text(detail),
        token: text(token),
    }
}

fn waiting_of(whose: &Whose) -> Waiting<'_> {
    match whose {
        Whose::All => Waiting::Every,
        Whose::Route(name) => Waiting::Route(name),
        Whose::Upstream(name) => Waiting::Upstream(name),
    }
}

impl From<Unstored> for Denied {
    fn from(_: Unstored) -> Self {
        Self::StoreFailed
    }
}

impl From<Refused> for Denied {
    fn from(why: Refused) -> Self {
        match why {
            Refused::NoStore => Self::NoStore,
            Refused::NotThere => Self::Unknown,
            Refused::RouteUnknown => Self::RouteUnknown,
            Refused::UpstreamUnknown => Self::UpstreamUnknown,
            Refused::Store(_) => Self::StoreFailed,
        }
    }
}

impl From<NotRedelivered> for Denied {
    fn from(why: NotRedelivered) -> Self {
        match why {
            NotRedelivered::NoStore => Self::NoStore,
            NotRedelivered::Unknown => Self::Unknown,
            NotRedelivered::Unverified => Self::Unverified,
            NotRedelivered::VerifiedOtherwise => Self::VerifiedOtherwise,
            NotRedelivered::BodyNotKept => Self::BodyNotKept,
            NotRedelivered::RouteGone => Self::RouteGone,
            NotRedelivered::Waiting => Self::Waiting,
            NotRedelivered::Dead => Self::Dead,
            NotRedelivered::Store => Self::StoreFailed,
        }
    }
}
