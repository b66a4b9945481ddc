//! What outlives a reload, keyed by stable names: server states, meters, replay memory, the TLS ticket key.
/// Shared by every snapshot of one process.
#[derive(Debug, Default)]
pub struct State {}
