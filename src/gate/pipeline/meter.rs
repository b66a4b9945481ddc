//! Step 6: what a source address may send, verified or not. What the route's genuine requests share is charged in step 10,
//! when it is known that this is one of them: forged requests must not use it up.

use std::ops::Deref;

use tokio::time::Instant;

use crate::domain::{SourceAddress, Turned};

use super::admit::Admitted;

/// A request that its source was charged for.
#[derive(Debug)]
pub struct Metered<'s> {
    admitted: Admitted<'s>,
}

impl<'s> Metered<'s> {
    /// Takes one request's worth of what the source may send.
    pub(super) fn charge(admitted: Admitted<'s>, source: SourceAddress, now: Instant) -> Result<Self, Turned> {
        let route = admitted.route();
        route.meter.charge_source(&route.limits, source.ip, now)?;
        Ok(Self { admitted })
    }
}

impl<'s> Deref for Metered<'s> {
    type Target = Admitted<'s>;

    fn deref(&self) -> &Self::Target {
        &self.admitted
    }
}
