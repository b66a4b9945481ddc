//! The history for the admin listener: store rows in, what may be shown out.

mod show;

use std::sync::Arc;

use bytes::Bytes;

use super::admin::Source;
use crate::admin::events::{Asking, Denied, EventDetail, EventSource, Listed, ReplayReport};
use crate::base::UnixMillis;
use crate::delivery::{self, NotReplayed};
use crate::store::{Query, Store, Unstored};

impl Source {
    fn opened(&self) -> Result<&Arc<Store>, Denied> {
        self.relay().gate.state.store().ok_or(Denied::NoStore)
    }
}

impl EventSource for Source {
    fn now(&self) -> UnixMillis {
        self.relay().gate.clock.now()
    }

    fn page(&self, query: Query) -> Asking<'_, Listed> {
        Box::pin(async move {
            let page = self.opened()?.page(query).await?;
            Ok(Listed { events: page.events.iter().map(show::row).collect(), next: page.next })
        })
    }

    fn event<'a>(&'a self, id: &'a str) -> Asking<'a, EventDetail> {
        Box::pin(async move {
            let event = self.opened()?.event(id).await?.ok_or(Denied::Unknown)?;
            Ok(show::detail(&event, &self.relay().snapshot()))
        })
    }

    fn body<'a>(&'a self, id: &'a str) -> Asking<'a, Bytes> {
        Box::pin(async move {
            let store = self.opened()?;
            store.event(id).await?.ok_or(Denied::Unknown)?;
            let request = store.request(id).await?.ok_or(Denied::BodyNotKept)?;
            Ok(request.body)
        })
    }

    fn replay<'a>(&'a self, id: &'a str) -> Asking<'a, ReplayReport> {
        Box::pin(async move {
            self.opened()?;
            let (relay, wanted) = (Arc::clone(self.relay()), id.to_owned());
            // Once sent, its result is noted: also when whoever asked has gone away.
            let replaying = tokio::spawn(async move {
                let snapshot = relay.snapshot();
                delivery::replay(&relay.gate, &snapshot, &wanted).await
            });
            match replaying.await {
                Ok(Ok(replayed)) => Ok(show::replayed(id, &replayed)),
                Ok(Err(why)) => Err(why.into()),
                // A panic, which the log has; or the end of the process.
                Err(_) => Err(Denied::StoreFailed),
            }
        })
    }

    fn retry<'a>(&'a self, id: &'a str) -> Asking<'a, ()> {
        Box::pin(async move {
            let store = self.opened()?;
            if store.revive(id).await? {
                return Ok(());
            }
            store.event(id).await?.ok_or(Denied::Unknown)?;
            Err(Denied::NotDead)
        })
    }

    fn discard<'a>(&'a self, id: &'a str) -> Asking<'a, ()> {
        Box::pin(async move {
            let store = self.opened()?;
            if store.discard(id).await? {
                return Ok(());
            }
            store.event(id).await?.ok_or(Denied::Unknown)?;
            Err(Denied::NotWaiting)
        })
    }
}

impl From<Unstored> for Denied {
    fn from(_: Unstored) -> Self {
        Self::StoreFailed
    }
}

impl From<NotReplayed> for Denied {
    fn from(why: NotReplayed) -> Self {
        match why {
            NotReplayed::NoStore => Self::NoStore,
            NotReplayed::Unknown => Self::Unknown,
            NotReplayed::Unverified => Self::Unverified,
            NotReplayed::BodyNotKept => Self::BodyNotKept,
            NotReplayed::RouteGone => Self::RouteGone,
            NotReplayed::Waiting => Self::Waiting,
            NotReplayed::Store => Self::StoreFailed,
        }
    }
}
