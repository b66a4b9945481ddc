//! What outlives a reload, keyed by stable names: server states, meters, replay memory, the TLS ticket key.

use crate::upstream::Upstreams;

/// Shared by every snapshot of one process.
#[derive(Debug, Default)]
pub struct State {
    /// Connections to internal servers, and what is known of each.
    pub upstreams: Upstreams,
}
