//! What a request looks like toward the upstream: the fields that are listed, our own, the target, and our own signature.
//!
//! A request that is delivered while its sender waits and one that comes out of the store are written by the same code from the
//! same facts, so the application cannot tell them apart but by `Relay-Attempt` and `Relay-Redelivery`.

mod target;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use tokio::time::Instant;

use crate::base::UnixMillis;
use crate::base::text::{self, Text};
use crate::domain::field_list::{REQUEST_ID, TRACE_CONTEXT};
use crate::domain::{Head, Sends, SourceAddress};
use crate::guards::dedupe::DedupeKey;
use crate::runtime::snapshot::{AnswerPolicy, Route};
use crate::scheme::UpstreamSignature;
use crate::store::StoredRequest;
use crate::upstream::{Fields, Outbound, Received, Undelivered};

use super::dedupe::Fresh;
use super::hops;
use super::record::Record;

pub(crate) use self::target::{dropped_members, received_target};

/// The largest body that goes out on a route with `answer = "upstream"`.
const ANSWER_MAX: usize = 1024 * 1024;

/// A genuine request on its way to the upstream. Nothing else can be sent: one that is here was verified, now or before it was stored.
#[derive(Debug)]
pub struct Inward<'r> {
    head: &'r Head,
    suffix: usize,
    source: IpAddr,
    https: bool,
    request_id: &'r str,
    received_at: UnixMillis,
    /// `None` where nothing was verified.
    key: Option<&'r str>,
    dedupe: Option<&'r str>,
    body: &'r Bytes,
    sends: &'r Sends,
    redelivery: bool,
    /// Somebody waits for the answer.
    live: bool,
}

impl<'r> Inward<'r> {
    /// A request whose sender waits.
    pub(super) fn live(fresh: &'r Fresh<'_>, head: &'r Head, source: SourceAddress, record: &'r Record<'_>) -> Self {
        Self {
            head,
            suffix: fresh.suffix(),
            source: source.ip,
            https: record.https(),
            request_id: record.request_id(),
            received_at: record.received_at(),
            key: fresh.proof().map(|proof| &*proof.key),
            dedupe: fresh.proof().and_then(|proof| proof.dedupe.as_deref()),
            body: fresh.body(),
            sends: record.sends(),
            redelivery: false,
            live: true,
        }
    }

    /// A request out of the store, with what was blanked in it ([`super::held::restored`]), where its route still asks for what it was
    /// verified by.
    pub fn stored(
        route: &Route,
        request: &'r StoredRequest,
        sends: &'r Sends,
        redelivery: bool,
    ) -> Result<Self, Unfit> {
        fits(route, request)?;
        Ok(Self {
            head: &request.head,
            suffix: request.suffix,
            source: request.source,
            https: request.https,
            request_id: &request.request_id,
            received_at: request.received_at,
            key: request.key.as_deref(),
            dedupe: request.dedupe.as_deref(),
            body: &request.body,
            sends,
            redelivery,
            live: false,
        })
    }

    /// Sends it to the route's upstream, from now until then. `at` is what our own signature says.
    pub async fn forward(
        &self,
        route: &Route,
        at: UnixMillis,
        now: Instant,
        by: Instant,
    ) -> Result<Received, Undelivered> {
        let target = target::target(route, self.head, self.suffix);
        let pass_through = self.live && matches!(route.answer, AnswerPolicy::Upstream);
        let outbound = Outbound {
            method: self.head.method().as_str(),
            target: &target,
            headers: self.fields(route, at),
            body: Cow::Borrowed(self.body),
            sends: Some(self.sends),
            pass_through: pass_through.then_some(ANSWER_MAX),
        };
        // Boxed: it is copied once where it begins, and the future of a whole request is no larger for it.
        Box::pin(route.upstream.forward(&outbound, now, by)).await
    }

    fn fields(&self, route: &Route, at: UnixMillis) -> Fields {
        let set = &route.forward.headers;
        let room = set.iter().map(|(name, value)| name.len() + value.expose().len() + 4).sum::<usize>();
        let mut fields = Fields::with_capacity(self.head.footprint() + room + OURS);
        self.head
            .headers()
            .iter()
            .filter(|(name, _)| passes(route, self.source, name))
            .for_each(|(name, value)| fields.add(name, value));
        fields.line(b"\r\nX-Forwarded-For: ").extend_from_slice(text::address(self.source).as_bytes());
        let scheme: &[u8] = if self.https { b"https" } else { b"http" };
        fields.line(b"\r\nX-Forwarded-Proto: ").extend_from_slice(scheme);
        fields.line(b"\r\nX-Forwarded-Host: ").extend_from_slice(self.head.host().as_bytes());
        let name: &'static [u8] =
            if route.forward.keeps_request_id { b"\r\nRelay-Request-Id: " } else { b"\r\nX-Request-Id: " };
        fields.line(name).extend_from_slice(self.request_id.as_bytes());
        fields.line(b"\r\nRelay-Route: ").extend_from_slice(route.name.as_bytes());
        let provider = route.provider.as_deref().unwrap_or("custom");
        fields.line(b"\r\nRelay-Provider: ").extend_from_slice(provider.as_bytes());
        if let Some(key) = self.key {
            fields.line(b"\r\nRelay-Key: ").extend_from_slice(key.as_bytes());
        }
        if self.redelivery {
            fields.line(b"\r\nRelay-Redelivery: ").extend_from_slice(b"true");
        }
        text::push_number(fields.line(b"\r\nRelay-Hops: "), hops::next(self.head));
        let received_at = text::rfc3339(self.received_at);
        let received_at = received_at.as_ref().map(Text::as_bytes).unwrap_or_default();
        fields.line(b"\r\nRelay-Received-At: ").extend_from_slice(received_at);
        if let Some(resigned) = self.resigned(route, at) {
            fields.line(b"\r\nwebhook-id: ").extend_from_slice(resigned.id.as_bytes());
            fields.line(b"\r\nwebhook-timestamp: ").extend_from_slice(resigned.timestamp.as_bytes());
            fields.line(b"\r\nwebhook-signature: ").extend_from_slice(resigned.signature.as_bytes());
        }
        set.iter().for_each(|(name, value)| fields.add(name, value.expose()));
        fields
    }

    fn resigned(&self, route: &Route, at: UnixMillis) -> Option<UpstreamSignature> {
        let signer = route.forward.sign_with.as_ref()?;
        // What dedupe memory knows it by: the same for every attempt and retry, and another one for every other request.
        let known = self.key.zip(self.dedupe).map(|(secret, id)| DedupeKey::new(&route.name, secret, id));
        let id = known.map(|key| HEXLOWER.encode(&key.to_bytes()));
        Some(signer.sign(id.as_deref().unwrap_or(self.request_id), at, self.body))
    }
}

/// Why a request out of the store does not go to the upstream of its route any more, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit(String);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether what proved a request when it came is what its route asks for now. A key that was rotated out since has proved it all the
/// same. A route that verifies nothing takes what was verified.
pub fn fits(route: &Route, request: &StoredRequest) -> Result<(), Unfit> {
    let Some(wanted) = &route.verified_by else { return Ok(()) };
    let was = match (&request.key, &request.verified_by) {
        (Some(_), Some(was)) if was == wanted => return Ok(()),
        // An older version did not write down which scheme of the file it was.
        (Some(_), None) if route.provider.is_none() => return Ok(()),
        (Some(_), Some(was)) => was,
        (Some(_), None) => "a scheme of the file",
        (None, _) => "nothing",
    };
    Err(Unfit(format!("it was verified by {was} when it came, and its route now asks for {wanted}")))
}

/// Bytes of the fields that the relay sets by itself, more or less.
const OURS: usize = 400;

/// Whether a sender's field goes to the upstream: where the route lists it, or as trace context of a sender whose it keeps.
pub(crate) fn passes(route: &Route, source: IpAddr, name: &str) -> bool {
    route.forward.fields.passes(name)
        || (route.forward.keeps_request_id && name.eq_ignore_ascii_case(REQUEST_ID))
        || (!route.forward.trust_trace_from.is_empty()
            && TRACE_CONTEXT.iter().any(|known| name.eq_ignore_ascii_case(known))
            && route.forward.trust_trace_from.contains(source))
}
