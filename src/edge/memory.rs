//! What connections can cost: the part of the memory formula (docs/operating.md, "Memory") that belongs to sockets.

use crate::runtime::snapshot::Limits;

use super::connections;
use super::h2::{CONNECTION_WINDOW, HEAD_SLACK};

const KIB: u64 = 1024;
/// A connection with nothing on it: its task, its TLS session, its first buffers. 22 KiB when measured.
const IDLE: u64 = 32 * KIB;
/// What TLS may hold of a handshake that has no end, or of records on their way in and out.
const TLS: u64 = 64 * KIB;
/// Frames on their way in or out, tables of header compression, streams that were reset and are still remembered.
const FRAMES: u64 = 64 * KIB;
/// A stream: its state, and its task where that waits for nothing but the peer's window. One that waits for a body is counted
/// with its head in `limits.body_memory`.
const STREAM: u64 = 4 * KIB;

/// The most that one connection can hold, in bytes, beside the requests that `limits.body_memory` counts.
fn of_one(limits: &Limits) -> u64 {
    let head = limits.max_head as u64;
    // A buffer that grows doubles, and what was found in it is copied once.
    let http1 = 3 * head;
    // A head as it comes, gathered to be walked, and decoded; what came of bodies and nobody has read.
    let http2 = 3 * u64::from(HEAD_SLACK) * head
        + u64::from(CONNECTION_WINDOW)
        + FRAMES
        + u64::from(limits.max_h2_streams) * STREAM;
    IDLE + TLS + http1.max(http2)
}

/// The most that all of them can hold, in bytes. It goes by the limits alone: who asks may have fewer descriptors than the service.
pub fn of_connections(limits: &Limits) -> u64 {
    (connections::most(limits.max_connections) as u64).saturating_mul(of_one(limits))
}

/// The open files that a process needs for `max_connections`: `LimitNOFILE=` of its unit.
pub fn open_files(limits: &Limits) -> u64 {
    connections::descriptors_for(limits.max_connections) as u64
}
