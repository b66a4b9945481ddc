//! What a request passes or is counted by, one mechanism each, blind to one another: address lists, rates and places, dedupe
//! memory, the error budget, the traffic baseline, addresses that a list may lack.
//!
//! In come addresses, keys, numbers and times; out comes a verdict or a count. A guard never sees a body, a socket, a
//! configuration file or another guard, and never writes a log line: whoever asks does.

pub mod access;
pub mod baseline;
pub mod budget;
pub mod dedupe;
pub mod meter;
pub mod unlisted;
