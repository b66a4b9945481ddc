//! What is behind a hash that nothing gives: the one change to key, algorithm, URL or body that would give it.

use subtle::ConstantTimeEq;

use super::bodies::Bodies;
use super::forms::{self, Reading};
use super::{Asked, MAX_BODY, MAX_BYTES, NO_BODY, Other, UNTOUCHED, absent, condition, keys, missing, urls};
use crate::base::{Secret, UnixMillis};
use crate::domain::{Head, Refusal};
use crate::scheme::algorithm::{Algorithm, State};
use crate::scheme::check::each;
use crate::scheme::check::mac::{Function, MacSpec};
use crate::scheme::compiled::Message;
use crate::scheme::message::Feed;
use crate::scheme::source::Facts;
use crate::scheme::url::PublicUrl;
use crate::scheme::{Stamp, Verifier, words};

/// Hashes of one diagnosis.
const MAX_HASHES: u32 = 4096;

/// What is behind a hash that nothing gives, or that is not there.
pub(in crate::scheme) fn of_mac(mac: &MacSpec, asked: &Asked<'_, '_>) -> Vec<String> {
    let Asked { verifier, head, body, facts, refusal, others, .. } = *asked;
    match (&mac.envelope.each, body) {
        (Some(path), Some(_)) => return each::findings(mac, path, verifier, facts),
        (Some(_), None) => return vec![NO_BODY.to_owned()],
        (None, _) => {}
    }
    match refusal {
        Refusal::MessageIncomplete => missing(mac.envelope.message_for(facts), facts),
        Refusal::SignatureMissing => {
            // A place that is there and holds no signature as the scheme writes it holds one in another form, perhaps.
            let Some(version) = absent::of_another_version(&verifier.scheme, &mac.envelope, facts) else {
                return absent::elsewhere(asked);
            };
            let found = body.and_then(|body| Search::new(verifier, mac, head, body).quietly(refusal, others));
            vec![found.unwrap_or(version)]
        }
        Refusal::SignatureMalformed | Refusal::SignatureMismatch | Refusal::KeyUnknown => match body {
            Some(body) => Search::new(verifier, mac, head, body).run(refusal, others),
            None => vec![NO_BODY.to_owned()],
        },
        Refusal::BodyDigestMismatch => {
            body.and_then(|body| Search::new(verifier, mac, head, body).digests()).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// One request and what it could have been.
pub(super) struct Search<'s> {
    verifier: &'s Verifier,
    mac: &'s MacSpec,
    head: &'s Head,
    body: &'s [u8],
    readings: Vec<Reading>,
    hashes: u32,
    bytes: usize,
}

/// What a hash is made from.
struct Attempt<'a> {
    head: &'a Head,
    body: &'a [u8],
    url: Option<&'a PublicUrl>,
    secret: &'a Secret,
    algorithm: Algorithm,
}

impl<'s> Search<'s> {
    fn new(verifier: &'s Verifier, mac: &'s MacSpec, head: &'s Head, body: &'s [u8]) -> Self {
        let facts = Facts::new(head, body, &verifier.scheme.paths);
        let readings = forms::readings(&mac.envelope.signature, &facts);
        Self { verifier, mac, head, body, readings, hashes: MAX_HASHES, bytes: MAX_BYTES }
    }

    /// For a signature that stands where the scheme does not look.
    pub(super) fn of_text(
        verifier: &'s Verifier,
        mac: &'s MacSpec,
        head: &'s Head,
        body: &'s [u8],
        text: &[u8],
    ) -> Self {
        let readings = forms::readings_of(&mac.envelope.signature, text);
        Self { verifier, mac, head, body, readings, hashes: MAX_HASHES, bytes: MAX_BYTES }
    }

    /// The key that gives the signature with this algorithm.
    pub(super) fn by_algorithm(mut self, algorithm: Algorithm) -> Option<String> {
        let keys = &self.verifier.keys;
        let right = keys.iter().find(|key| self.right(&Attempt { algorithm, ..self.plain(&key.secret) }).is_some());
        right.map(|key| key.id.to_string())
    }

    /// The first change that makes the signature right, or what can be said without one.
    fn run(mut self, refusal: Refusal, others: &[Other<'_>]) -> Vec<String> {
        if self.readings.is_empty() {
            return self.unreadable();
        }
        let found = self.change(refusal, others);
        let mut findings: Vec<String> = found.into_iter().collect();
        if findings.is_empty() {
            findings.extend(self.nothing(refusal));
        }
        findings.extend(self.length());
        findings
    }

    /// The first change that makes the signature right.
    fn quietly(mut self, refusal: Refusal, others: &[Other<'_>]) -> Option<String> {
        self.change(refusal, others)
    }

    fn change(&mut self, refusal: Refusal, others: &[Other<'_>]) -> Option<String> {
        self.as_it_is(refusal)
            .or_else(|| self.of_others(others))
            .or_else(|| self.by_other_readings())
            .or_else(|| self.by_other_algorithms())
            .or_else(|| self.by_other_messages())
            .or_else(|| self.by_other_urls(others))
            .or_else(|| self.by_other_bodies())
    }

    fn as_it_is(&mut self, refusal: Refusal) -> Option<String> {
        let verifier = self.verifier;
        for key in &verifier.keys {
            let Some(odd) = self.right(&self.plain(&key.secret)) else { continue };
            return Some(match (odd.is_empty(), refusal) {
                (false, _) => format!(
                    "key `{}` gives this signature, but {}: have the sender, or what stands before the relay, write it as the scheme has it",
                    key.id,
                    odd.join(", and ")
                ),
                (true, Refusal::KeyUnknown) => format!(
                    "key `{}` gives this signature, but the request names another one, or none: give the secret the id that the sender uses (`id = \"…\"`)",
                    key.id
                ),
                (true, _) => {
                    format!("key `{}` gives this signature, but it is not the only thing that stands there", key.id)
                }
            });
        }
        None
    }

    fn of_others(&mut self, others: &[Other<'_>]) -> Option<String> {
        for (route, other) in others {
            for key in &other.keys {
                let Ok(secret) = self.mac.key.derive(&key.configured) else { continue };
                if let Some(odd) = self.right(&self.plain(&secret)) {
                    return Some(format!(
                        "it is signed with the secret of route `{route}` (key `{}`){}: the sender calls the wrong URL, or has the wrong secret for this one",
                        key.id,
                        aside(&odd)
                    ));
                }
            }
        }
        None
    }

    fn by_other_readings(&mut self) -> Option<String> {
        let verifier = self.verifier;
        for key in &verifier.keys {
            for variant in keys::variants(&key.configured, &self.mac.key) {
                if let Some(odd) = self.right(&self.plain(&variant.key)) {
                    return Some(format!(
                        "the secret `{}` gives this signature {}{}",
                        key.id,
                        variant.how,
                        aside(&odd)
                    ));
                }
            }
        }
        None
    }

    fn by_other_algorithms(&mut self) -> Option<String> {
        let (verifier, mac) = (self.verifier, self.mac);
        for key in &verifier.keys {
            for algorithm in Algorithm::ALL.into_iter().filter(|other| *other != mac.algorithm) {
                let attempt = Attempt { algorithm, ..self.plain(&key.secret) };
                if let Some(odd) = self.right(&attempt) {
                    return Some(format!(
                        "key `{}` gives this signature with {} where the scheme has {}{}: choose {} at the sender, or another scheme here",
                        key.id,
                        algorithm.as_str(),
                        mac.algorithm.as_str(),
                        aside(&odd),
                        mac.algorithm.as_str()
                    ));
                }
            }
        }
        None
    }

    /// The message depends on the content type, which something on the way may have changed.
    fn by_other_messages(&mut self) -> Option<String> {
        let (verifier, mac) = (self.verifier, self.mac);
        if mac.envelope.variants.is_empty() {
            return None;
        }
        for key in &verifier.keys {
            for message in mac.envelope.messages() {
                if self.right_for(&self.plain(&key.secret), message).is_some() {
                    return Some(format!(
                        "key `{}` gives this signature for the message of another content type: the Content-Type was changed on the way",
                        key.id
                    ));
                }
            }
        }
        None
    }

    /// The public URL, where the scheme signs it.
    fn url(&self) -> Option<&'s PublicUrl> {
        self.verifier.url.as_ref().filter(|_| self.mac.envelope.signs_url())
    }

    fn by_other_urls(&mut self, others: &[Other<'_>]) -> Option<String> {
        let verifier = self.verifier;
        let url = self.url()?;
        let known: Vec<&PublicUrl> = others.iter().filter_map(|(_, other)| other.url.as_ref()).collect();
        for address in urls::addresses(url, &known, self.head) {
            let head = address.head(self.head);
            for key in &verifier.keys {
                let attempt = Attempt { head: &head, url: Some(&address.url), ..self.plain(&key.secret) };
                if self.right(&attempt).is_some() {
                    return Some(format!(
                        "key `{}` gives this signature for the public URL {}, where the relay has {}: register the URL at the sender, or set `public_url`, so that both are the same",
                        key.id,
                        address.how,
                        self.url_used(url)
                    ));
                }
            }
        }
        None
    }

    fn url_used(&self, url: &PublicUrl) -> String {
        words::url_used(&self.mac.envelope, url, &Facts::new(self.head, self.body, &self.verifier.scheme.paths))
    }

    fn by_other_bodies(&mut self) -> Option<String> {
        if !self.signs_body() || self.body.len() > MAX_BODY {
            return None;
        }
        let (verifier, body) = (self.verifier, self.body);
        let mut hit = None;
        let words = Bodies::new(body).find(body, self.declared(), |body| {
            hit = verifier.keys.iter().find(|key| self.right(&Attempt { body, ..self.plain(&key.secret) }).is_some());
            if hit.is_none() && self.hashes == 0 { None } else { Some(hit.is_some()) }
        })?;
        let key = hit.map(|key| &*key.id).unwrap_or_default();
        Some(format!("key `{key}` gives this signature for another body: {words}; {UNTOUCHED}"))
    }

    /// The digest of the body that the request states, for another body.
    fn digests(mut self) -> Option<String> {
        if self.body.len() > MAX_BODY {
            return None;
        }
        let (body, declared) = (self.body, self.declared());
        let words = Bodies::new(body).find(body, declared, |body| {
            if !self.spend(body.len()) {
                return None;
            }
            let facts = Facts::new(self.head, body, &self.verifier.scheme.paths);
            Some(self.mac.envelope.message_for(&facts).check_digests(&facts).is_ok())
        })?;
        Some(format!("the digest is that of another body: {words}; {UNTOUCHED}"))
    }

    fn plain<'a>(&self, secret: &'a Secret) -> Attempt<'a>
    where
        's: 'a,
    {
        Attempt {
            head: self.head,
            body: self.body,
            url: self.verifier.url.as_ref(),
            secret,
            algorithm: self.mac.algorithm,
        }
    }

    /// What is odd about the signature that an attempt gives; `None` when it gives none of those that are there.
    fn right(&mut self, attempt: &Attempt<'_>) -> Option<Vec<String>> {
        let facts = Facts::new(attempt.head, attempt.body, &self.verifier.scheme.paths);
        let mac = self.mac;
        self.compare(attempt, mac.envelope.message_for(&facts), &facts)
    }

    fn right_for(&mut self, attempt: &Attempt<'_>, message: &Message) -> Option<Vec<String>> {
        let facts = Facts::new(attempt.head, attempt.body, &self.verifier.scheme.paths);
        self.compare(attempt, message, &facts)
    }

    fn compare(&mut self, attempt: &Attempt<'_>, message: &Message, facts: &Facts<'_>) -> Option<Vec<String>> {
        let scheme = &*self.verifier.scheme;
        let text = scheme.timestamp.as_ref().and_then(|time| scheme.time_text(time, facts).ok().flatten());
        let stamp = text.map(|text| Stamp { text, at: UnixMillis(0) });
        let both = self.mac.envelope.both_ports && attempt.url.is_some();
        for other_port in [false, true].into_iter().take(if both { 2 } else { 1 }) {
            if !self.spend(attempt.body.len()) {
                return None;
            }
            let state = match self.mac.function {
                Function::Hmac => State::keyed(attempt.algorithm, attempt.secret.expose())?,
                Function::Digest => State::plain(attempt.algorithm),
            };
            let feed = Feed {
                facts,
                stamp: stamp.as_ref().map(|stamp| &*stamp.text),
                id: scheme.id.as_ref(),
                secret: attempt.secret,
                key_id: self
                    .verifier
                    .keys
                    .iter()
                    .find(|key| std::ptr::eq(&key.secret, attempt.secret))
                    .map_or("", |key| &key.id),
                signature: Some(&self.mac.envelope.signature),
                hashed: self.mac.envelope.hashed,
                url: attempt.url,
                other_port,
            };
            let tag = feed.hash(state, &message.template).ok()?;
            if let Some(reading) = self.readings.iter().find(|reading| bool::from(reading.tag.ct_eq(&tag))) {
                return Some(reading.odd.clone());
            }
        }
        None
    }

    fn spend(&mut self, bytes: usize) -> bool {
        let left = self.hashes.checked_sub(1).zip(self.bytes.checked_sub(bytes));
        if let Some((hashes, bytes)) = left {
            (self.hashes, self.bytes) = (hashes, bytes);
        } else {
            self.hashes = 0;
        }
        left.is_some()
    }

    fn signs_body(&self) -> bool {
        self.mac.envelope.messages().any(|message| message.template.covers_body() || !message.digests.is_empty())
    }

    fn declared(&self) -> Option<usize> {
        let text = self.head.headers().sole("content-length").ok().flatten()?;
        std::str::from_utf8(text).ok()?.trim().parse().ok()
    }

    /// A length that the body does not have tells that it is not the one that was sent.
    fn length(&self) -> Option<String> {
        let (declared, found) = (self.declared()?, self.body.len());
        (declared != found).then(|| {
            format!(
                "Content-Length says {declared} bytes and the body here has {found}: it is not the body that was sent"
            )
        })
    }

    /// Nothing has the length and the letters of any signature.
    fn unreadable(&self) -> Vec<String> {
        let scheme = format!("{} in {}", self.mac.algorithm.as_str(), self.mac.envelope.signature.encoding.as_str());
        vec![format!(
            "what stands there has not the length of any signature in any known encoding; the scheme has {scheme}"
        )]
    }

    fn nothing(&self, refusal: Refusal) -> Vec<String> {
        let mut found = Vec::new();
        if refusal == Refusal::SignatureMalformed
            && let Some(reading) = self.readings.first().filter(|reading| !reading.odd.is_empty())
        {
            found.push(format!(
                "read otherwise than the scheme has it ({}), it is not right either",
                reading.odd.join(", and ")
            ));
        }
        if self.hashes == 0 {
            found.push("there was more to try than one diagnosis may cost".to_owned());
        } else if self.signs_body() && self.body.len() > MAX_BODY {
            let most = MAX_BODY / (1 << 20);
            found.push(format!("the body is larger than {most} MiB, so other writings of it were not tried"));
        }
        if let Some(url) = self.url() {
            found.push(format!(
                "the signature is over the public URL, here {}; the commonest causes of another one: a proxy in front that \
                 ends TLS (http instead of https), a port, another host or path behind a proxy that rewrites them, a slash at \
                 the end, a query that was dropped or put in another order; compare it with the URL registered at the \
                 sender, and set `public_url` to that",
                self.url_used(url)
            ));
        }
        if self.signs_body() {
            found.extend(condition::findings(self.head, self.body));
        }
        found.push(if self.signs_body() {
            "no secret of any route, in any form, gives this signature for this body or a rewritten one: compare the secret \
             at the sender with ours (enter it again on both sides), and see whether something on the way changes the request"
                .to_owned()
        } else {
            "no secret of any route, in any form, gives this signature: compare the secret at the sender with ours (enter it \
             again on both sides), and see whether something on the way changes a signed header"
                .to_owned()
        });
        found
    }
}

/// `, and it is written in …`.
fn aside(odd: &[String]) -> String {
    if odd.is_empty() { String::new() } else { format!(", and {}", odd.join(", and ")) }
}
