//! What someone on the way could do to a signed request.

use bytes::Bytes;

use super::Request;
use crate::scheme::{Scheme, Signed};

/// Changes a request after it was signed: one byte of the body where the body is signed, else one character of the proof.
/// Returns what was changed, in words; `None` when there is nothing that could be.
pub fn tamper(request: &mut Request, scheme: &Scheme, signed: &Signed) -> Option<String> {
    if scheme.signs_body() && !request.body.is_empty() {
        let mut body = request.body.to_vec();
        // The last letter or digit: a change that leaves JSON and forms what they are.
        let at = body.iter().rposition(u8::is_ascii_alphanumeric).unwrap_or(0);
        let byte = body.get_mut(at)?;
        *byte = other(*byte);
        request.body = Bytes::from(body);
        return Some(format!("byte {at} of the body"));
    }
    if let Some(proof) = &signed.in_body {
        let mut body = request.body.to_vec();
        let at = body.windows(proof.len()).rposition(|part| part == proof.as_bytes())?;
        body.splice(at..at + proof.len(), changed(proof)?.into_bytes());
        request.body = Bytes::from(body);
        return Some("the proof in the body".to_owned());
    }
    // What was added last is the signature or the token.
    if let Some((name, value)) = signed.headers.last() {
        let field = request.headers.iter_mut().rfind(|(known, _)| known == name)?;
        field.1 = changed(value)?;
        return Some(format!("the header {name}"));
    }
    // In the target it stands encoded, last of all.
    let (name, _) = signed.query.last()?;
    let at = request.target.rfind('=')? + 1;
    let value = changed(request.target.get(at..)?)?;
    request.target.replace_range(at.., &value);
    Some(format!("the query parameter {name}"))
}

/// The text with one character in its middle replaced by another of the same kind.
fn changed(text: &str) -> Option<String> {
    let alphanumeric = |(_, byte): &(usize, u8)| byte.is_ascii_alphanumeric();
    let places: Vec<usize> = text.bytes().enumerate().filter(alphanumeric).map(|(at, _)| at).collect();
    // Past the prefix (`sha256=`), before the last one, whose low bits base64 may not use.
    let at = *places.get(places.len() * 2 / 3)?;
    let byte = text.as_bytes().get(at).copied()?;
    let mut changed = text.to_owned();
    changed.replace_range(at..=at, char::from(other(byte)).encode_utf8(&mut [0; 4]));
    Some(changed)
}

/// Another character of the same alphabet, hexadecimal included.
fn other(byte: u8) -> u8 {
    match byte {
        b'0' => b'1',
        b'a' => b'b',
        b'A' => b'B',
        b'1'..=b'9' => b'0',
        b'b'..=b'z' => b'a',
        b'B'..=b'Z' => b'A',
        _ => byte ^ 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Secret, UnixMillis};
    use crate::config::recipe::{builtin, builtin_names};
    use crate::domain::{Head, Method, Version};
    use crate::scheme::{Key, PublicUrl, SignDraft, SignProblem, Verifier};

    /// For every shipped provider: what `sign` makes is genuine, and what `tamper` makes of it is not.
    #[test]
    fn nothing_tampered_is_genuine() {
        let now = UnixMillis::from_secs(1_800_000_000);
        for name in builtin_names() {
            let recipe = builtin(name).unwrap();
            let secret = if recipe.scheme.describe().lines.iter().any(|line| line.how.contains("user:password")) {
                b"user:0123456789abcdef".to_vec()
            } else {
                b"30313233343536373839616263646566".to_vec()
            };
            let secret = recipe.scheme.fresh_pair().map_or_else(|| Secret::new(secret), |(private, _)| private);
            let key = Key { id: "test".into(), secret };
            let url = PublicUrl::parse("https://hooks.example.com").unwrap();
            let verifier = Verifier::sender(recipe.scheme.clone(), vec![key], Some(url)).unwrap();
            let claims = recipe.scheme.claims_of_route();
            let verifier = verifier.with_claims(claims.iter().map(|claim| (claim.as_str(), vec!["a".into()])));
            let form = recipe.content_types.iter().flatten().any(|kind| kind.contains("form"));
            let (kind, body) = if form {
                ("application/x-www-form-urlencoded", &b"a=b"[..])
            } else {
                ("application/json", &b"{\"a\":\"b\"}"[..])
            };
            let headers = vec![("Content-Type".to_owned(), kind.to_owned())];
            let id = "00000000-0000-4000-a000-000000000001";
            let draft = SignDraft { method: Method::Post, path_query: "/hooks/x", headers: &headers, body, id };
            let signed = match verifier.sign(&draft, now) {
                Ok(signed) => signed,
                // Signatures over SHA-1 are verified and never made.
                Err(SignProblem::Sha1) => continue,
                Err(problem) => panic!("{name}: {problem}"),
            };
            let mut request = Request {
                method: "POST".to_owned(),
                target: signed.target("/hooks/x"),
                headers: headers.iter().chain(&signed.headers).cloned().collect(),
                body: Bytes::from(signed.body.clone()),
            };
            let genuine = verifier.verify(&head(&request), &request.body, now);
            assert!(genuine.is_ok(), "{name}: {genuine:?}");
            let what = tamper(&mut request, &recipe.scheme, &signed);
            assert!(what.is_some(), "{name}");
            let tampered = verifier.verify(&head(&request), &request.body, now);
            assert!(tampered.is_err(), "{name}: {what:?}");
        }
    }

    fn head(request: &Request) -> Head {
        let mut head = Head::builder(Method::Post, Version::Http11).target(&request.target).host("localhost");
        for (name, value) in &request.headers {
            head = head.header(name, value);
        }
        head.build()
    }
}
