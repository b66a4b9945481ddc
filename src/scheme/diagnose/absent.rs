//! Where a signature stands instead of where it should, and what kind of proof it is.

use super::mac::Search;
use super::{Asked, Other};
use crate::base::UnixMillis;
use crate::domain::Head;
use crate::scheme::algorithm::Algorithm;
use crate::scheme::check::Check;
use crate::scheme::check::envelope::Envelope;
use crate::scheme::compiled::Scheme;
use crate::scheme::examine::names;
use crate::scheme::source::Facts;
use crate::scheme::{Verifier, words};

/// Findings of one diagnosis.
const MAX_FINDINGS: usize = 4;
/// Headers that are named in one finding.
const MAX_NAMED: usize = 8;

/// Versions of signatures that providers put beside, or in place of, the one that a shared secret makes.
const VERSIONS: [(&str, &str); 2] = [
    (
        "v1a",
        "v1a is made with a private key (Ed25519): have the sender make v1 with the shared secret, or give the route provider = \"standard-webhooks-ed25519\" and its public key",
    ),
    ("v0", "v0 is an older form, at some providers that of test events, and proves nothing here"),
];

/// Headers whose proof is of a kind that has a name of its own.
const KINDS: [(&str, &str); 2] = [
    ("webhook-signature", "a signature as Standard Webhooks has it (GitLab makes it with a signing token)"),
    ("X-Gitlab-Token", "a secret token as GitLab has it, with nothing signed"),
];

/// The place is there, and holds only what the scheme does not take.
pub(super) fn of_another_version(scheme: &Scheme, envelope: &Envelope, facts: &Facts<'_>) -> Option<String> {
    let what = words::without_signature(scheme, &envelope.signature, facts)?;
    let text = envelope.signature.places.iter().find_map(|place| facts.read(place).ok().flatten())?;
    let named = envelope.signature.item_names(&text);
    let known = VERSIONS.iter().find(|(version, _)| named.contains(&version.as_bytes()));
    let known = known.map_or("see which version the sender is set to make", |(_, words)| words);
    Some(format!("{what}: {known}"))
}

/// What the request has in place of the header that the scheme reads.
pub(super) fn elsewhere(asked: &Asked<'_, '_>) -> Vec<String> {
    let Asked { verifier, head, body, now, others, .. } = *asked;
    let mut found: Vec<String> = genuine_elsewhere(head, body, now, others).into_iter().collect();
    if found.is_empty() {
        found.extend(older(verifier, head, body));
    }
    if found.is_empty() {
        found.extend(others.iter().filter_map(|other| of_other(verifier, head, body, other)));
    }
    let named: Vec<&str> =
        head.headers().iter().map(|(name, _)| name).filter(|name| alike(name)).take(MAX_NAMED).collect();
    if found.is_empty() && !named.is_empty() {
        let kind = KINDS.iter().find(|(header, _)| named.iter().any(|name| name.eq_ignore_ascii_case(header)));
        found.push(match kind {
            Some((header, what)) => kept_for_another_kind(verifier, header, what),
            None => format!(
                "it has {}, which this scheme does not read: another provider, another version of its scheme, or a header renamed on the way",
                names(named.into_iter())
            ),
        });
    }
    if found.is_empty() {
        found.push("no header looks like a signature: no secret is set at the sender, or something on the way drops the header".to_owned());
    }
    found.truncate(MAX_FINDINGS);
    found
}

/// Another route takes this very request.
fn genuine_elsewhere(head: &Head, body: Option<&[u8]>, now: UnixMillis, others: &[Other<'_>]) -> Option<String> {
    let body = body?;
    let (route, _) = others.iter().find(|(_, other)| other.verify(head, body, now).is_ok())?;
    Some(format!("route `{route}` would take it as genuine: the sender calls the wrong URL"))
}

/// A SHA-1 signature where the scheme has a stronger one: what senders still add for old receivers.
fn older(verifier: &Verifier, head: &Head, body: Option<&[u8]>) -> Option<String> {
    let Check::Mac(mac) = &verifier.scheme.check else { return None };
    if mac.algorithm == Algorithm::Sha1 {
        return None;
    }
    let (name, value) = head.headers().iter().find(|(name, value)| alike(name) && is_sha1(value))?;
    let places = words::proof_places(&verifier.scheme);
    let what =
        format!("header {name} holds a SHA-1 signature, which alone is not taken: the route reads {places} with {}", {
            mac.algorithm.as_str()
        });
    let right = body.and_then(|body| Search::of_text(verifier, mac, head, body, value).by_algorithm(Algorithm::Sha1));
    Some(match right {
        Some(key) => {
            format!("{what}; key `{key}` gives it, so the secret is right and something drops the other header")
        }
        None => format!("{what}; have the sender send it, or see what on the way drops it"),
    })
}

/// `sha1=` and 40 hexadecimal digits, or these alone.
fn is_sha1(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let prefix = b"sha1=";
    let digits = match value.split_at_checked(prefix.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(prefix) => rest,
        _ => value,
    };
    digits.len() == 2 * Algorithm::Sha1.len() && digits.iter().all(u8::is_ascii_hexdigit)
}

/// A proof as another route reads it, in a form that this one could read.
fn of_other(verifier: &Verifier, head: &Head, body: Option<&[u8]>, (route, other): &Other<'_>) -> Option<String> {
    let own = verifier.scheme.check.kind().headers();
    let has = |name: &str| head.headers().first(name).is_some();
    let theirs = other.scheme.check.kind().headers();
    let name = theirs.into_iter().find(|name| has(name) && !own.iter().any(|own| own.eq_ignore_ascii_case(name)))?;
    if !well_formed(&other.scheme, head, body) {
        return None;
    }
    let what = KINDS.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, what)| *what);
    Some(if is_of_family(&verifier.scheme, &other.scheme, head) {
        kept_for_another_kind(verifier, name, what.unwrap_or("a proof of another kind"))
    } else {
        let what = what.map_or_else(String::new, |what| format!(" ({what})"));
        format!("it has the header {name}{what}, which route `{route}` reads: the sender may call the wrong URL")
    })
}

fn kept_for_another_kind(verifier: &Verifier, header: &str, what: &str) -> String {
    format!(
        "header {header} holds {what}, and the route reads {}: choose that kind of secret at the sender, or give the route \
         the recipe that reads {header}",
        words::proof_places(&verifier.scheme)
    )
}

fn well_formed(scheme: &Scheme, head: &Head, body: Option<&[u8]>) -> bool {
    scheme.check.kind().is_formed(&Facts::of(head, body.unwrap_or_default(), scheme))
}

/// Whether the request's other headers are named as this scheme's provider names them, and not as the other's does.
fn is_of_family(own: &Scheme, other: &Scheme, head: &Head) -> bool {
    let theirs: Vec<String> = other.headers_read().into_iter().filter_map(family).collect();
    let own: Vec<String> =
        own.headers_read().into_iter().filter_map(family).filter(|family| !theirs.contains(family)).collect();
    head.headers().iter().filter_map(|(name, _)| family(name)).any(|family| own.contains(&family))
}

/// `x-github-` of `X-GitHub-Delivery`.
fn family(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let rest = name.strip_prefix("x-")?;
    let (provider, _) = rest.split_once('-')?;
    Some(format!("x-{provider}-"))
}

fn alike(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["signature", "hmac", "-sig", "authorization", "token", "api-key"].iter().any(|word| name.contains(word))
}
