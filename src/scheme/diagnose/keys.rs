//! What a secret may have been on the other side: the same text with a line end, decoded, not decoded.

use super::recoded;
use crate::base::Secret;
use crate::scheme::encoding::Encoding;
use crate::scheme::key::KeyMaterial;

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
    const THEIRS: &str = "enter the secret at the sender again, without it";
    let mut texts: Vec<(Vec<u8>, Written)> = vec![(text.to_vec(), None)];
    texts.extend(meant(text).into_iter().map(|(bare, with)| (bare, Some((with, CLEAN)))));
    for (end, with) in [
        (&b"\n"[..], "with a line feed behind it"),
        (b"\r\n", "with a line end behind it"),
        (b" ", "with a blank behind it"),
    ] {
        texts.push(([text, end].concat(), Some((with, THEIRS))));
    }
    texts
}

/// What to do with a secret that has more in it than the secret.
pub(super) const CLEAN: &str = "write our secret without that";

/// What a secret's text was meant as, where an editor, a shell or a copied line put more into it.
pub(super) fn meant(text: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let mut found: Vec<(Vec<u8>, &'static str)> = Vec::new();
    let mut add = |bare: &[u8], with: &'static str| {
        if !bare.is_empty() && bare != text && !found.iter().any(|(known, _)| known == bare) {
            found.push((bare.to_vec(), with));
        }
    };
    let wide = recoded::utf16(text);
    if let Some(wide) = &wide {
        add(wide.trim().as_bytes(), "read as UTF-16, which its file is written in");
    }
    let narrow = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if narrow.len() < text.len() {
        add(narrow.trim_ascii(), "without the byte order mark before it");
    }
    let trimmed = narrow.trim_ascii();
    add(trimmed, "without the blanks or line ends around it");
    let line = trimmed.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    add(line, "without the lines behind its first one");
    let bare = unquoted(line);
    add(bare, "without the quotation marks around it");
    if let Some(value) = assigned(bare) {
        add(value, "without the NAME= before it");
        add(unquoted(value), "without the NAME= before it and its quotation marks");
    }
    found
}

fn unquoted(text: &[u8]) -> &[u8] {
    let marked = |mark: u8| text.strip_prefix(&[mark])?.strip_suffix(&[mark]);
    marked(b'"').or_else(|| marked(b'\'')).or_else(|| marked(b'`')).unwrap_or(text)
}

/// What stands behind `NAME=` or `export NAME=`.
fn assigned(text: &[u8]) -> Option<&[u8]> {
    let at = text.iter().position(|byte| *byte == b'=')?;
    let name = text.get(..at)?.trim_ascii();
    let name = name.strip_prefix(b"export ").unwrap_or(name).trim_ascii();
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let is_name = (1..=64).contains(&name.len()) && name.iter().all(fits);
    text.get(at + 1..).map(<[u8]>::trim_ascii).filter(|value| is_name && !value.is_empty())
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
