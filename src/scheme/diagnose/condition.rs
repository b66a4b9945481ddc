//! What can be seen of a body that was changed, where no change back can be tried: compression, a lost end, lost characters.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use crate::domain::Head;

/// How compressed bodies begin.
const MAGIC: [(&[u8], &str); 3] =
    [(b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x78\x9c", "zlib (\"deflate\")")];

/// What is odd about a body, with what to do.
pub(super) fn findings(head: &Head, body: &[u8]) -> Vec<String> {
    let mut found: Vec<String> = compression(head, body).into_iter().collect();
    if found.is_empty() {
        found.extend(lost_end(head, body));
        found.extend(characters(head, body));
        found.extend(numbers(body));
    }
    found
}

fn compression(head: &Head, body: &[u8]) -> Option<String> {
    let stated = text(head, "content-encoding").filter(|coding| !coding.trim().eq_ignore_ascii_case("identity"));
    let seen = MAGIC.iter().find(|(magic, _)| body.starts_with(magic)).map(|(_, name)| *name);
    match (stated, seen) {
        (_, Some(name)) => Some(format!(
            "the body is compressed ({name}), and the signature is checked over it as it came: the sender signs before it \
             compresses, or something on the way compresses; turn one of both off"
        )),
        // Brotli has no magic: only what is plain text says that it is not compressed.
        (Some(coding), None) if std::str::from_utf8(body).is_ok() => Some(format!(
            "Content-Encoding says {}, and the body here is not compressed: something on the way, or the capture, \
             decompressed it",
            coding.chars().take(20).flat_map(char::escape_debug).collect::<String>()
        )),
        _ => None,
    }
}

fn lost_end(head: &Head, body: &[u8]) -> Option<String> {
    let begins = body.trim_ascii_start().first().is_some_and(|byte| b"{[".contains(byte));
    let json = begins || text(head, "content-type").is_some_and(|value| value.contains("json"));
    let ends_early = || serde_json::from_slice::<IgnoredAny>(body).is_err_and(|error| error.is_eof());
    (json && !body.is_empty() && ends_early()).then(|| {
        format!("the body is JSON that ends before it is complete, after {} bytes: its end was cut off", body.len())
    })
}

fn characters(head: &Head, body: &[u8]) -> Option<String> {
    let Ok(shown) = std::str::from_utf8(body) else { return None };
    if shown.contains('\u{fffd}') {
        return Some(
            "the body has the character U+FFFD: something on the way read it in another character set, and what stood \
             there is lost"
                .to_owned(),
        );
    }
    let content_type = text(head, "content-type")?.to_ascii_lowercase();
    let (_, charset) = content_type.split_once("charset=")?;
    let charset: String = charset.trim_start_matches('"').chars().take_while(|char| !"\"; ".contains(*char)).collect();
    let known = ["utf-8", "utf8", "us-ascii"].contains(&&*charset);
    (!known && !shown.is_ascii()).then(|| {
        format!(
            "Content-Type says the character set {}, and the body is UTF-8: something on the way may have converted it",
            charset.chars().take(20).flat_map(char::escape_debug).collect::<String>()
        )
    })
}

/// What a parser makes of a number cannot be undone: no more than a few spellings are tried.
fn numbers(body: &[u8]) -> Option<String> {
    let long = |text: &str| text.bytes().filter(u8::is_ascii_digit).count() > 15;
    let text = std::str::from_utf8(body).ok()?;
    let odd = super::recoded::numbers(text)
        .any(|span| text.get(span).is_some_and(|number| number.contains(['e', 'E']) || long(number)));
    (odd && super::json::parse(text).is_some()).then(|| {
        "the body has numbers that many programs write otherwise when they read and write JSON (long ones, or with an exponent)"
            .to_owned()
    })
}

fn text<'h>(head: &'h Head, name: &str) -> Option<Cow<'h, str>> {
    head.headers().first(name).map(String::from_utf8_lossy)
}
