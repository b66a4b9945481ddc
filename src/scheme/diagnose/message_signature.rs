//! Why a request has no HTTP message signature (RFC 9421) that is right: what it says that it covers, beside what must be covered.

use super::Asked;
use crate::domain::Refusal;
use crate::scheme::Verifier;
use crate::scheme::examine::names;
use crate::scheme::message_signature::{Base, Component, Derived, INPUT, SIGNATURE, authority, is_digest_of, members};
use crate::scheme::source::Facts;
use crate::scheme::url::PublicUrl;

/// Labels and components that are named in one finding.
const MAX_NAMED: usize = 8;
/// The longest of them.
const MAX_NAME: usize = 64;

const OLDER: &str = "Signature has the form of the drafts before RFC 9421 (`keyId=…`), which covers other things: have the sender sign \
                     as the RFC says";

/// What can be said without trying a key; empty where `Signature-Input` is as it should be.
pub(super) fn findings(base: &Base, asked: &Asked<'_, '_>) -> Vec<String> {
    let facts = asked.facts;
    let (Ok(input), Ok(signature)) = (facts.header(INPUT), facts.header(SIGNATURE)) else {
        return vec!["Signature-Input or Signature is there twice: something on the way adds one".to_owned()];
    };
    let said = |text: Option<std::borrow::Cow<'_, [u8]>>| text.map(|text| String::from_utf8_lossy(&text).into_owned());
    let (input, signature) = match (said(input), said(signature)) {
        // Another kind of proof altogether: the headers that are there say more.
        (None, None) => return Vec::new(),
        (None, Some(signature)) if signature.contains("keyId=") => return vec![OLDER.to_owned()],
        (None, Some(_)) => return vec![lone(SIGNATURE, INPUT)],
        (Some(_), None) => return vec![lone(INPUT, SIGNATURE)],
        (Some(input), Some(signature)) => (input, signature),
    };
    let Some(inputs) = members(&input) else { return vec![unreadable(INPUT, "(\"@method\");created=1700000000")] };
    let Some(signatures) = members(&signature) else { return vec![unreadable(SIGNATURE, ":base64:")] };
    let text = match chosen(base, &inputs, &signatures) {
        Ok(text) => text,
        Err(finding) => return vec![finding],
    };
    let stated = match Stated::read(text) {
        Ok(stated) => stated,
        Err(finding) => return vec![finding],
    };
    let mut found = stated.lacks(base, facts);
    if found.is_empty() && matches!(asked.refusal, Refusal::SignatureMismatch | Refusal::BodyDigestMismatch) {
        found.extend(other_body(&stated, asked));
        found.extend(other_host(&stated, asked.verifier, facts));
    }
    found
}

fn lone(there: &str, absent: &str) -> String {
    format!("there is {there} and no {absent}: the sender must send both, or something on the way drops one")
}

fn unreadable(header: &str, example: &str) -> String {
    format!("{header} cannot be read: it is a list of labels, each once, as in `sig1={example}`")
}

/// What stands behind the label that counts, in both headers.
fn chosen<'t>(base: &Base, inputs: &[(&str, &'t str)], signatures: &[(&str, &str)]) -> Result<&'t str, String> {
    let labels = |members: &[(&str, &str)]| names(members.iter().map(|(label, _)| *label).take(MAX_NAMED));
    let label = match (&base.label, signatures) {
        (Some(label), _) => &**label,
        (None, [(label, _)]) => label,
        (None, _) => {
            let all = labels(signatures);
            return Err(format!(
                "there are several signatures ({all}), and the scheme does not say which one counts: write `label`"
            ));
        }
    };
    for (header, members) in [(SIGNATURE, signatures), (INPUT, inputs)] {
        if !members.iter().any(|(known, _)| *known == label) {
            let all = labels(members);
            return Err(format!("{header} has nothing called `{label}`, but {all}: the sender and `label` must agree"));
        }
    }
    let found = inputs.iter().find(|(known, _)| *known == label);
    Ok(found.map(|(_, text)| *text).unwrap_or_default())
}

/// What a request says that it covers.
struct Stated {
    components: Vec<Component>,
    /// As `alg` has it.
    algorithm: Option<String>,
}

impl Stated {
    /// Or what of it the relay does not know.
    fn read(text: &str) -> Result<Self, String> {
        let unreadable = || unreadable(INPUT, "(\"@method\" \"content-digest\");created=1700000000");
        let (list, parameters) = text.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or_else(unreadable)?;
        let mut components: Vec<Component> = Vec::new();
        for item in list.split(' ').filter(|item| !item.is_empty()) {
            let (name, parameter) =
                item.strip_prefix('"').and_then(|rest| rest.split_once('"')).ok_or_else(unreadable)?;
            if name.len() > MAX_NAME || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'`') {
                return Err(unreadable());
            }
            if !parameter.is_empty() {
                return Err(format!(
                    "it covers `{name}` with a parameter, which no scheme here can say: have the sender cover it without one"
                ));
            }
            let Some(component) = Component::parse(name) else {
                let all = names(Derived::names());
                return Err(format!(
                    "it covers `{name}`, which is not known here; header names in lower case are, and {all}"
                ));
            };
            if components.contains(&component) {
                return Err(format!("it covers `{name}` twice"));
            }
            components.push(component);
        }
        let algorithm = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("alg="));
        let algorithm = algorithm.map(|text| text.trim_matches('"').to_owned());
        Ok(Self { components, algorithm })
    }

    /// What must be there, and is not.
    fn lacks(&self, base: &Base, facts: &Facts<'_>) -> Vec<String> {
        let mut found = Vec::new();
        let uncovered = base.components.iter().filter(|wanted| !self.components.contains(wanted));
        let uncovered = names(uncovered.map(Component::as_str));
        if !uncovered.is_empty() {
            found.push(format!(
                "the signature does not cover {uncovered}: have the sender cover it, or take it out of `components`"
            ));
        }
        let absent = self.components.iter().filter_map(|component| match component {
            Component::Header(name) => facts.header(name).is_ok_and(|value| value.is_none()).then_some(&**name),
            Component::Derived(_) => None,
        });
        let absent = names(absent.take(MAX_NAMED));
        if !absent.is_empty() {
            found.push(format!(
                "the signature covers {absent}, and the request has no such header: something on the way drops it"
            ));
        }
        if let Some(algorithm) = self.algorithm.as_deref().filter(|algorithm| *algorithm != base.algorithm) {
            let known =
                algorithm.len() <= MAX_NAME && algorithm.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'`');
            let said = if known { format!("`{algorithm}`") } else { "something unreadable".to_owned() };
            found.push(format!("the sender signs with {said}, and the scheme has `{}`", base.algorithm));
        }
        found
    }

    fn covers(&self, derived: Derived) -> bool {
        self.components.contains(&Component::Derived(derived))
    }
}

/// The digest that is signed is not the body's.
fn other_body(stated: &Stated, asked: &Asked<'_, '_>) -> Option<String> {
    let header = Component::parse("content-digest")?;
    let text = asked.facts.header(header.as_str()).ok().flatten()?;
    let other = stated.components.contains(&header) && !is_digest_of(&text, asked.body?);
    other.then(|| {
        format!("Content-Digest is that of another body, or of no kind that is known here; {}", super::UNTOUCHED)
    })
}

/// The request came for another host than the one that is configured.
fn other_host(stated: &Stated, verifier: &Verifier, facts: &Facts<'_>) -> Option<String> {
    let covered = [Derived::Authority, Derived::TargetUri].into_iter().find(|derived| stated.covers(*derived))?;
    let configured = authority(verifier.url.as_ref()?);
    let came_for = PublicUrl::parse(&format!("https://{}", facts.head.host())).ok().map(|url| authority(&url))?;
    (configured != came_for).then(|| {
        format!(
            "it covers `{}`, which is of `{configured}` by `public_url`, and the request came for `{came_for}`: compare both with the \
             URL at the sender",
            covered.as_str()
        )
    })
}
