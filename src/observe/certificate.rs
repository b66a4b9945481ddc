//! A served certificate that ends: one line.

use super::line::{Level, Line};
use crate::base::UnixMillis;

/// One that has expired, or is in the last part of its life.
#[derive(Clone, Copy, Debug)]
pub struct CertificateEvent<'e> {
    /// Where it is served.
    pub listener: &'e str,
    /// Its names.
    pub names: &'e str,
    /// Its end, in seconds since the epoch.
    pub not_after: i64,
    /// Whether that has passed: every sender refuses it.
    pub expired: bool,
}

impl CertificateEvent<'_> {
    pub(super) const fn name(&self) -> &'static str {
        if self.expired { "certificate_expired" } else { "certificate_ending" }
    }

    pub(super) const fn level(&self) -> Level {
        if self.expired { Level::Error } else { Level::Warn }
    }

    pub(super) fn write(&self, line: &mut Line) {
        let Self { listener, names, not_after, expired: _ } = *self;
        let end = UnixMillis::from_secs(not_after).to_string();
        line.text("listener", listener).long("names", names).text("not_after", &end);
    }
}
