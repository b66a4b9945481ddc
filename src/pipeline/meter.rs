//! Step 6: token buckets and the in-flight cap.

use std::ops::Deref;

use tokio::time::Instant;

use crate::domain::{SourceAddress, Turned};
use crate::meter::Permit;

use super::admit::Admitted;

/// A request that was counted; its in-flight permit lives as long as it does.
#[derive(Debug)]
pub struct Metered<'s> {
    admitted: Admitted<'s>,
    _permit: Permit<'s>,
}

impl<'s> Metered<'s> {
    /// Takes one request's worth of the route's budgets.
    pub(super) fn take(admitted: Admitted<'s>, source: SourceAddress, now: Instant) -> Result<Self, Turned> {
        let route = admitted.route();
        let permit = route.meter.take(&route.limits, source.ip, now)?;
        Ok(Self { admitted, _permit: permit })
    }
}

impl<'s> Deref for Metered<'s> {
    type Target = Admitted<'s>;

    fn deref(&self) -> &Self::Target {
        &self.admitted
    }
}
