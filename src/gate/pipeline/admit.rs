//! Step 5: everything that the head alone can decide, cheapest first.

use std::net::IpAddr;
use std::ops::Deref;

use crate::domain::{Framing, Head, Refusal, SourceAddress};
use crate::guards::access::{AccessList, RequiredHeader, Verdict};
use crate::runtime::snapshot::{AddressCheck, Listener, Route};

use super::route::Routed;
use super::{Connection, challenge, hops};

/// A request whose head the route accepts.
#[derive(Debug)]
pub struct Admitted<'s> {
    routed: Routed<'s>,
    allowed_by: Option<&'s str>,
    announced: bool,
}

impl<'s> Admitted<'s> {
    /// Method, source address, client certificate, required headers, content type, relays passed, declared size.
    pub(super) fn check(
        routed: Routed<'s>,
        connection: &Connection,
        source: SourceAddress,
        head: &Head,
    ) -> Result<Self, Refusal> {
        let route: &'s Route = routed.route();
        let announced = challenge::is_announced(route, head);
        if !announced {
            method(route, head)?;
        }
        let allowed_by = match address(&route.access, &connection.listener, source.ip) {
            Ok(allowed_by) => allowed_by,
            // The record says so.
            Err(_) if route.address_check == AddressCheck::Observe => None,
            Err(refusal) => return Err(refusal),
        };
        after_address(route, connection, head, announced)?;
        Ok(Self { routed, allowed_by, announced })
    }

    /// Whether it was let in as a challenge, with a method or a content type that no webhook of the route has.
    pub(super) fn is_announced(&self) -> bool {
        self.announced
    }

    /// The entry of the address list that admitted the source, where the route has a list.
    pub fn allowed_by(&self) -> Option<&'s str> {
        self.allowed_by
    }
}

impl<'s> Deref for Admitted<'s> {
    type Target = Routed<'s>;

    fn deref(&self) -> &Self::Target {
        &self.routed
    }
}

/// What is asked of a head once its address is admitted.
pub(super) fn after_address(
    route: &Route,
    connection: &Connection,
    head: &Head,
    announced: bool,
) -> Result<(), Refusal> {
    if route.client_auth && !connection.client_certificate {
        return Err(Refusal::ClientCertificateRequired);
    }
    for required in &route.headers {
        required_header(required, head)?;
    }
    if !announced {
        content_type(route, head)?;
    }
    hops::check(head)?;
    declared_size(route, head)
}

/// Why the lists of a route that only observes them would refuse a source.
pub(super) fn would_refuse(route: &Route, listener: &Listener, source: IpAddr) -> Option<Refusal> {
    match route.address_check {
        AddressCheck::Enforce => None,
        AddressCheck::Observe => address(&route.access, listener, source).err(),
    }
}

// The checks one by one, so that `explain` asks the same functions.

/// Method and content type of a webhook.
pub(super) fn form(route: &Route, head: &Head) -> Result<(), Refusal> {
    method(route, head)?;
    content_type(route, head)
}

pub(crate) fn method(route: &Route, head: &Head) -> Result<(), Refusal> {
    if route.methods.contains(&head.method()) { Ok(()) } else { Err(Refusal::MethodNotAllowed) }
}

/// The entry that admits the source, where it must be listed. A denial wins. Who might be anybody might be denied, so where
/// anybody is denied a proxy that does not say who sent the request is refused too.
pub(crate) fn address<'s>(
    access: &'s AccessList,
    listener: &Listener,
    source: IpAddr,
) -> Result<Option<&'s str>, Refusal> {
    match access.judge(source) {
        Verdict::Denied(_) => Err(Refusal::AddressDenied),
        Verdict::Unlisted => Err(Refusal::AddressNotAllowed),
        Verdict::Admitted(_) if access.denies() && listener.is_proxy(source) => Err(Refusal::AddressUnknown),
        Verdict::Admitted(entry) => Ok(entry),
    }
}

/// Every line of the header must have an allowed value: a second, different line must not slip in behind a good one.
pub(crate) fn required_header(required: &RequiredHeader, head: &Head) -> Result<(), Refusal> {
    let mut lines = head.headers().all(&required.name).peekable();
    if lines.peek().is_none() {
        return Err(Refusal::HeaderRequired);
    }
    if let Some(values) = &required.values
        && !lines.all(|line| values.iter().any(|value| value.as_bytes() == line))
    {
        return Err(Refusal::HeaderRequired);
    }
    Ok(())
}

pub(crate) fn declared_size(route: &Route, head: &Head) -> Result<(), Refusal> {
    match head.framing() {
        Framing::Length(length) if length > route.max_body => Err(Refusal::BodyTooLarge),
        Framing::Length(_) | Framing::Empty | Framing::Unknown => Ok(()),
    }
}

pub(crate) fn content_type(route: &Route, head: &Head) -> Result<(), Refusal> {
    let Some(accepted) = &route.content_types else { return Ok(()) };
    let line = head.headers().sole("content-type").ok().flatten().ok_or(Refusal::ContentTypeUnsupported)?;
    let media_type = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let known = accepted.iter().any(|accepted| media_type.eq_ignore_ascii_case(accepted.as_bytes()));
    if known { Ok(()) } else { Err(Refusal::ContentTypeUnsupported) }
}
