//! What a request is known by: which ids count, and what stands beside one that nobody signs.

use dmz_relay::domain::{Method, Refusal};
use dmz_relay::scheme::SignDraft;

use crate::{ID, NOW, Request, inline, verifier};

/// What a request of a scheme is known by, part by part; a digest as its label and a star.
fn known(text: &str, headers: &[(&str, &str)], body: &str) -> Result<Vec<String>, Refusal> {
    let verifier = verifier(&inline(text), &["whsec_AAECAwQFBgcICQoLDA0ODw=="]);
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let draft = SignDraft { method: Method::Post, path_query: "/x", headers: &headers, body: body.as_bytes(), id: ID };
    let added = verifier.sign(&draft, NOW).unwrap_or_else(|problem| panic!("{text}: {problem}"));
    let target = added.target("/x");
    let headers = headers.into_iter().chain(added.headers).collect();
    let request = Request { method: Method::Post, target, headers, body: added.body };
    let name = request.verify(&verifier, NOW)?.dedupe.unwrap_or_default();
    let part = |part: &str| match part.split_once(':') {
        Some((label, digest)) if digest.len() == 32 => format!("{label}:*"),
        _ => part.to_owned(),
    };
    Ok(name.split(' ').map(part).collect())
}

fn mac(message: &str, rest: &str) -> String {
    format!("verify.hmac = {{ algorithm = 'sha256', signature = {{ header = 'X' }}, message = '{message}', {rest} }}")
}

#[test]
fn an_id_that_is_signed_decides_alone_and_any_other_with_the_body() {
    let is = |text: &str, parts: &[&str]| {
        let found = known(text, &[("I", "one"), ("N", ID)], "{\"id\":\"two\"}");
        assert_eq!(found.unwrap_or_else(|refusal| panic!("{text}: {refusal:?}")), parts, "{text}");
    };
    is(&mac("{body}", "dedupe = [{ json = 'id' }]"), &["j:two"]);
    is(&mac("{header:I}.{body}", "dedupe = [{ header = 'i' }]"), &["h:one"]);
    is(&mac("{id}.{body}", "id = { header = 'I' }"), &["h:one"]);
    // Beside it stands the signature where that is the body's, else the body.
    is(&mac("{body}", "dedupe = [{ header = 'I' }]"), &["h:one", "s:*"]);
    is(&mac("{header:N}{body}", "dedupe = [{ header = 'I' }]"), &["h:one", "b:*"]);
    is("verify.token = { header = 'X', dedupe = [{ json = 'id' }] }", &["j:two", "b:*"]);
    // One part of several is signed.
    is(&mac("{body}", "dedupe = [[{ header = 'I' }, { json = 'id' }]]"), &["h:one", "j:two"]);
    is(&mac("{body}", "dedupe = [[{ header = 'I' }, 'body']]"), &["h:one", "b:*"]);
    is(&mac("{body}", "dedupe = [{ header = 'I' }], bodies = 'never-repeat'"), &["s:*"]);
    is(&mac("{body}", "dedupe = [{ header = 'I' }], bodies = 'change-on-retry'"), &["h:one"]);
    // What binds a member to a signed header signs it.
    let bound = mac("{header:I}", "bindings = [{ json = 'id', header = 'I' }], dedupe = [{ json = 'id' }]");
    assert_eq!(known(&bound, &[("I", "two")], "{\"id\":\"two\"}").unwrap(), ["j:two"]);
}

/// Two events of one moment have one signature where it is over the time alone: the second one must not be lost.
#[test]
fn a_signature_over_nothing_of_the_event_does_not_decide_alone() {
    let is = |text: &str, parts: &[&str]| {
        let found = known(text, &[("I", "one"), ("N", ID)], "{}");
        assert_eq!(found.unwrap_or_else(|refusal| panic!("{text}: {refusal:?}")), parts, "{text}");
    };
    let time = "timestamp = { header = 'T', format = 'unix-ms', tolerance = '1h' }";
    is(&mac("{timestamp}{secret}", time), &["b:*", "s:*"]);
    is(&mac("{timestamp}.{path}", &format!("{time}, dedupe = ['signature']")), &["b:*", "s:*"]);
    is(&mac("{timestamp}.{body}", time), &["s:*"]);
    is(&mac("{timestamp}.{header:N}", time), &["s:*"]);
    let token = "algorithms = ['HS256'], token = { header = 'T' }, required = ['exp']";
    is(&format!("verify.jwt = {{ {token}, dedupe = ['signature'] }}"), &["b:*", "s:*"]);
    is(&format!("verify.jwt = {{ {token}, dedupe = [{{ claim = 'jti' }}] }}"), &[&format!("c:{ID}")]);
}

#[test]
fn the_first_entry_counts_whose_parts_a_request_has() {
    let text = mac("{body}", "dedupe = [[{ json = 'a' }, { header = 'B' }], { json = 'b' }, { header = 'C' }, 'body']");
    let is = |headers: &[(&str, &str)], body: &str, parts: &[&str]| {
        assert_eq!(known(&text, headers, body).unwrap(), parts, "{headers:?} {body}");
    };
    is(&[("B", "2")], "{\"a\":1,\"b\":3}", &["h:2", "j:1"]);
    // An id in one place is never taken for the same id in another one.
    is(&[("B", "2")], "[]", &["b:*"]);
    is(&[("B", "2"), ("C", "2")], "[]", &["h2:2", "s:*"]);
    let text = mac("{body}", "dedupe = [[{ when = { header = 'K', equals = 'b' } }, { header = 'B' }], 'signature']");
    for (kind, parts) in [("b", &["h:2", "s:*"][..]), ("a", &["s:*"]), ("B", &["s:*"]), ("bb", &["s:*"])] {
        assert_eq!(known(&text, &[("K", kind), ("B", "2")], "x").unwrap(), parts, "{kind}");
    }
}

#[test]
fn many_ids_are_one_name_whatever_their_number() {
    let text = mac("{body}", "dedupe = [{ json = 'e.*.id' }, 'signature']");
    let of = |count: usize| {
        let events: Vec<String> = (0..count).map(|n| format!("{{\"id\":\"event-{n}\"}}")).collect();
        known(&text, &[], &format!("{{\"e\":[{}]}}", events.join(","))).unwrap()
    };
    assert_eq!((of(2), of(100)), (vec!["j:event-0,event-1".to_owned()], vec!["j:*".to_owned()]));
}
