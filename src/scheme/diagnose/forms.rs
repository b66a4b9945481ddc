//! Signatures as they might have been written by a sender that writes them otherwise than the scheme.

use crate::scheme::algorithm::{Algorithm, Tag};
use crate::scheme::encoding::Encoding;
use crate::scheme::source::Facts;
use crate::scheme::wrapping::{SignatureSpec, Wrapping};

/// Readings of one request that are compared.
const MAX_READINGS: usize = 256;
/// Prefixes that providers put before a signature.
const PREFIXES: [&str; 13] = [
    "sha256=",
    "sha1=",
    "sha512=",
    "sha384=",
    "sha-256=",
    "v0=",
    "v1=",
    "v1,",
    "v2=",
    "hmac-sha256=",
    "hmac ",
    "hmac-sha256 ",
    "signature ",
];
/// Longest text that is looked at: many times the longest signature.
const MAX_TEXT: usize = 4096;

/// One way to read what the request has as its signature.
pub(super) struct Reading {
    pub(super) tag: Tag,
    /// What is unlike the scheme; empty for what the gate itself reads.
    pub(super) odd: Vec<String>,
}

/// Every reading, the proper ones first.
pub(super) fn readings(spec: &SignatureSpec, facts: &Facts<'_>) -> Vec<Reading> {
    let mut found = Vec::new();
    for place in &spec.places {
        if let Ok(Some(text)) = facts.read(place) {
            read(spec, &text, &mut found);
        }
    }
    found.sort_by_key(|reading: &Reading| reading.odd.len());
    found
}

/// Every reading of a text that stands somewhere else.
pub(super) fn readings_of(spec: &SignatureSpec, text: &[u8]) -> Vec<Reading> {
    let mut found = Vec::new();
    read(spec, text, &mut found);
    found
}

fn read(spec: &SignatureSpec, text: &[u8], found: &mut Vec<Reading>) {
    if text.len() > MAX_TEXT {
        return;
    }
    let mut texts: Vec<(Vec<u8>, Option<String>)> = Vec::new();
    let _ = spec.each(text, |text| {
        texts.push((text.to_vec(), None));
        Ok(())
    });
    for (item, how) in unlisted(text, spec) {
        if !texts.iter().any(|(known, _)| *known == item) {
            texts.push((item, Some(how)));
        }
    }
    for (text, listed) in texts {
        unwrap(spec, &text, listed, found);
    }
}

/// The items of a list that the scheme does not know, or the text of one where it knows none.
fn unlisted(text: &[u8], spec: &SignatureSpec) -> Vec<(Vec<u8>, String)> {
    let mut items = vec![(text.to_vec(), "it stands alone instead of in a list".to_owned())];
    let parts = || text.split(|byte| b", ;".contains(byte)).filter(|part| !part.is_empty()).take(32);
    let several = parts().count() > 1;
    for part in parts() {
        let how = match &spec.wrapping {
            Wrapping::Bare if several => "several values stand in one field, joined by commas or blanks".to_owned(),
            Wrapping::Bare => "it has a name before it".to_owned(),
            Wrapping::Named(named) => format!("it is not the item {} of its list", named.names.join(" or ")),
            Wrapping::Dictionary { .. } => "it is not between colons behind its label".to_owned(),
            Wrapping::Positional { .. } => "it stands elsewhere in its list".to_owned(),
        };
        // One of several as the scheme writes it alone.
        if several && spec.wrapping == Wrapping::Bare {
            items.push((part.to_vec(), how.clone()));
        }
        let value = part.iter().position(|byte| *byte == b'=').and_then(|at| part.get(at + 1..));
        // A signature in base64 may end in `=`, and then nothing stands behind it.
        let value = value.filter(|value| value.len() >= 20).unwrap_or(part);
        items.push((value.to_vec(), how));
    }
    items
}

fn unwrap(spec: &SignatureSpec, text: &[u8], listed: Option<String>, found: &mut Vec<Reading>) {
    let trimmed = text.trim_ascii();
    let bare = trimmed.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(trimmed);
    let around = (bare.len() != text.len()).then(|| "there are blanks or quotation marks around it".to_owned());
    let own = spec.prefix.as_bytes();
    let mut starts: Vec<(&[u8], Option<String>)> = Vec::new();
    if let Some(rest) = bare.strip_prefix(own) {
        starts.push((rest, None));
    } else {
        starts.push((bare, Some(format!("its prefix `{}` is missing", spec.prefix))));
    }
    for prefix in PREFIXES {
        let rest =
            bare.split_at_checked(prefix.len()).filter(|(start, _)| start.eq_ignore_ascii_case(prefix.as_bytes()));
        if let Some((_, rest)) = rest.filter(|_| prefix.as_bytes() != own) {
            let wanted = if own.is_empty() { "no prefix".to_owned() } else { format!("`{}`", spec.prefix) };
            starts.push((rest, Some(format!("it has the prefix `{prefix}` where the scheme has {wanted}"))));
        }
    }
    let encodings =
        std::iter::once(spec.encoding).chain(Encoding::ALL.into_iter().filter(|other| *other != spec.encoding));
    for encoding in encodings {
        for (rest, prefixed) in &starts {
            for len in Algorithm::ALL.map(Algorithm::len) {
                let Some(tag) = encoding.decode_tag(rest, len) else { continue };
                let spelled = (encoding != spec.encoding).then(|| {
                    format!("it is written in {} where the scheme has {}", encoding.as_str(), spec.encoding.as_str())
                });
                let odd = [listed.clone(), around.clone(), prefixed.clone(), spelled].into_iter().flatten().collect();
                if found.len() < MAX_READINGS {
                    found.push(Reading { tag, odd });
                }
            }
        }
    }
}
