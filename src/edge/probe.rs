//! Ways into the readers of hostile bytes, for the fuzz targets (`fuzz/`) and the tests that replay their corpora. No part of
//! the interface.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;

use crate::domain::Head;
use crate::gate::pipeline::read::BodyBroken;

use super::h1::chunked::{Chunked, Step};
use super::h1::{head_end, parse};
use super::h2::guard::Budget;
use super::proxy_header::{self, Told};

/// Twice the default of `limits.max_head`.
const HEAD_MOST: usize = 64 * 1024;
/// The default of `limits.max_headers`.
const HEADERS_MAX: usize = 64;

/// The head that stands at the beginning, with its length; `None` where there is none or it is refused.
pub fn head(bytes: &[u8]) -> Option<(Head, usize)> {
    let end = head_end(bytes, &mut 0).ok()??;
    let parsed = parse::parse(bytes.get(..end)?, HEADERS_MAX).ok()?;
    Some((parsed.head, end))
}

/// What came of a body in chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunks {
    /// It ended.
    Body(Vec<u8>),
    /// There is more to come.
    Unfinished,
    /// It is none.
    Malformed,
    /// It has more than there was room for.
    TooLarge,
}

/// Decodes a body that arrives in pieces of this size.
pub fn chunks(bytes: &[u8], room: usize, piece: usize) -> Chunks {
    let (mut state, mut from, mut into) = (Chunked::Size, BytesMut::new(), BytesMut::new());
    for part in bytes.chunks(piece) {
        from.extend_from_slice(part);
        loop {
            let left = room - into.len().min(room);
            match state.decode(&mut from, &mut into, left) {
                Ok(Step::Done) => return Chunks::Body(into.to_vec()),
                Ok(Step::Appended) => {}
                Ok(Step::NeedsMore) => break,
                Err(BodyBroken::TooLarge) => return Chunks::TooLarge,
                Err(BodyBroken::Malformed | BodyBroken::Incomplete) => return Chunks::Malformed,
            }
        }
    }
    Chunks::Unfinished
}

/// Whether a connection may send these frames, its preface included, when they arrive in pieces of this size.
pub fn frames(bytes: &[u8], piece: usize) -> bool {
    let mut budget = Budget::new(HEAD_MOST, Arc::default());
    bytes.chunks(piece).all(|part| budget.pass(part))
}

/// The source that a PROXY header tells, if it tells one, and the header's length; `None` where it is refused.
pub fn proxy_header(bytes: &[u8]) -> Option<(Option<IpAddr>, usize)> {
    let mut rest = bytes;
    let told = {
        let read = pin!(proxy_header::read(&mut rest));
        // Bytes in memory are always there, so one look is enough.
        match read.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(told) => told.ok()?,
            Poll::Pending => return None,
        }
    };
    let source = match told {
        Told::Source(ip) => Some(ip),
        Told::Itself => None,
    };
    Some((source, bytes.len() - rest.len()))
}
