//! What a secret may have been on the other side: the same text with a line end, decoded, not decoded.

use crate::base::Secret;
use crate::signature::encoding::Encoding;
use crate::signature::key::KeyMaterial;

const WHSEC: &str = "whsec_";

/// A key that the sender may have used in place of ours.
pub(super) struct Variant {
    pub(super) key: Secret,
    /// What makes it from ours, and what to do.
    pub(super) how: String,
}

/// Every other key that the configured text may stand for.
pub(super) fn variants(configured: &Secret, material: &KeyMaterial) -> Vec<Variant> {
    let mut found: Vec<Variant> = Vec::new();
    let own = material.derive(configured).ok();
    for (text, written) in texts(configured.expose()) {
        let text = Secret::new(text);
        for (prefix, stripped) in prefixes(text.expose(), material) {
            for encoding in [
                None,
                Some(Encoding::Base64),
                Some(Encoding::Base64Unpadded),
                Some(Encoding::Base64Url),
                Some(Encoding::Base64UrlUnpadded),
                Some(Encoding::HexAny),
            ] {
                let other = KeyMaterial { prefix: prefix.clone(), encoding, ..material.clone() };
                let Ok(key) = other.derive(&text) else { continue };
                let known =
                    own.iter().chain(found.iter().map(|variant| &variant.key)).any(|known| known.matches(key.expose()));
                if known {
                    continue;
                }
                let decoded = decoding(material.encoding, encoding);
                let words: Vec<&str> = [stripped, decoded.as_deref()].into_iter().flatten().collect();
                let mut how = words.join(" and ");
                let mut remedy = Vec::new();
                if !how.is_empty() {
                    remedy.push("check which library and which form of the secret the sender uses, or set `key` of the scheme so");
                }
                if let Some((with, what)) = written {
                    how = if how.is_empty() { with.to_owned() } else { format!("{with}, {how}") };
                    remedy.insert(0, what);
                }
                found.push(Variant { key, how: format!("{how}: {}", remedy.join("; ")) });
            }
        }
    }
    found
}

type Written = Option<(&'static str, &'static str)>;

/// The text as it is, then as it might have been written.
fn texts(text: &[u8]) -> Vec<(Vec<u8>, Written)> {
    const CLEAN: &str = "write our secret without them";
    const THEIRS: &str = "enter the secret at the sender anew, without it";
    let mut texts: Vec<(Vec<u8>, Written)> = vec![(text.to_vec(), None)];
    let trimmed = text.trim_ascii();
    if trimmed != text {
        texts.push((trimmed.to_vec(), Some(("without the blanks or line ends around it", CLEAN))));
    }
    let marked = |mark: u8| Some(trimmed.strip_prefix(&[mark])?.strip_suffix(&[mark])?.to_vec());
    if let Some(bare) = marked(b'"').or_else(|| marked(b'\'')) {
        texts.push((bare, Some(("without the quotation marks around it", CLEAN))));
    }
    for (end, with) in [
        (&b"\n"[..], "with a line feed behind it"),
        (b"\r\n", "with a line end behind it"),
        (b" ", "with a blank behind it"),
    ] {
        texts.push(([text, end].concat(), Some((with, THEIRS))));
    }
    texts
}

/// What may be taken off, the scheme's own first.
fn prefixes(text: &[u8], material: &KeyMaterial) -> Vec<(Option<Box<str>>, Option<&'static str>)> {
    let own = material.prefix.as_deref();
    let stands = own.is_some_and(|own| text.starts_with(own.as_bytes()));
    let mut prefixes = vec![(material.prefix.clone(), None)];
    if stands {
        prefixes.push((None, Some("with its prefix left on")));
    }
    if own != Some(WHSEC) && text.starts_with(WHSEC.as_bytes()) {
        prefixes.push((Some(WHSEC.into()), Some("without its prefix `whsec_`")));
    }
    prefixes
}

fn decoding(own: Option<Encoding>, other: Option<Encoding>) -> Option<String> {
    let name = |encoding: Encoding| encoding.as_str().trim_end_matches("-any");
    match (own, other) {
        (own, other) if own == other => None,
        (None, Some(other)) => Some(format!("decoded from {}", name(other))),
        (Some(own), None) => Some(format!("taken as text and not decoded from {}", name(own))),
        (Some(own), Some(other)) => Some(format!("decoded from {} instead of {}", name(other), name(own))),
        (None, None) => None,
    }
}
