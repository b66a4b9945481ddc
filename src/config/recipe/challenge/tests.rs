//! Answers to challenges, and what a stranger could make of them.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use crate::base::{Secret, UnixMillis};
use crate::config::recipe::{builtin, builtin_names};
use crate::domain::{Head, Method, Refusal, Version};
use crate::scheme::{ChallengeSecrets, Found, Key, Proof, Scheme, SignDraft, Verifier};

const NOW: UnixMillis = UnixMillis(1_700_000_000_250);

/// Fields and body of a webhook.
type Webhook = (Vec<(String, String)>, Vec<u8>);

fn verifier(scheme: &Arc<Scheme>) -> Verifier {
    let key = Key { id: "key".into(), secret: Secret::new(b"s3cret".to_vec()) };
    Verifier::new(Arc::clone(scheme), vec![key], None).unwrap()
}

fn verified((headers, body): &Webhook, right: &Verifier) -> Result<Proof, Refusal> {
    let mut head = Head::builder(Method::Post, Version::Http11).target("/x").host("relay.example");
    for (name, value) in headers {
        head = head.header(name, value);
    }
    right.verify(&head.build(), body, NOW)
}

fn signed(right: &Verifier, body: &[u8]) -> Webhook {
    let draft = SignDraft { method: Method::Post, path_query: "/x", headers: &[], body, id: "id" };
    let signed = right.sign(&draft, NOW).unwrap();
    (signed.headers, signed.body)
}

/// What a stranger may ask for: tokens of every shape, and bodies of webhooks.
fn challenges() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9_-]{1,64}",
        "[A-Za-z0-9+/=]{1,64}",
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[ -~]{0,64}",
        "v0:1800000000:[ -~]{0,32}",
        r#"\{"[a-z]{1,8}":"[a-z0-9]{0,16}"\}"#,
        "(true|null|-?[0-9]{1,9}|\"[a-z]{0,9}\"|\\[\\])",
    ]
}

/// Recipes that answer an unsigned challenge with a hash of the asker's text.
fn oracles() -> Vec<(&'static str, Arc<Scheme>)> {
    let computes = |name: &&str| {
        let recipe = builtin(name).unwrap();
        recipe.challenges().iter().any(|challenge| !challenge.is_signed() && challenge.answered_with().contains("HMAC"))
    };
    let found: Vec<_> = builtin_names().iter().copied().filter(computes).collect();
    assert_eq!(found, ["linkedin", "smartcar", "x-twitter"]);
    found.into_iter().map(|name| (name, Arc::clone(&builtin(name).unwrap().scheme))).collect()
}

/// What the relay answers when it is asked for a hash of this text: every value of the answer.
fn asked(name: &str, right: &Verifier, text: &str) -> Vec<String> {
    let (method, target, body) = match name {
        "linkedin" => (Method::Get, format!("/x?challengeCode={}", encoded(text)), String::new()),
        "x-twitter" => (Method::Get, format!("/x?crc_token={}", encoded(text)), String::new()),
        _ => {
            (Method::Post, "/x".to_owned(), json!({ "eventType": "VERIFY", "data": { "challenge": text } }).to_string())
        }
    };
    let head = Head::builder(method, Version::Http11).target(&target).host("relay.example").build();
    let secrets = ChallengeSecrets { verifier: Some(right), challenge: None };
    let recipe = builtin(name).unwrap();
    let answers = recipe.challenges().iter().filter_map(|challenge| challenge.answer(&head, body.as_bytes(), &secrets));
    let values = answers.flat_map(|answer| {
        let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        said.as_object().unwrap().values().map(|value| value.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    });
    values.collect()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The body that the text stands for, and the same without what the scheme puts before it.
fn forged(text: &str) -> [&str; 3] {
    [text, text.strip_prefix("v0:1800000000:").unwrap_or(text), text.strip_prefix("hmacsha256=").unwrap_or(text)]
}

proptest! {
    /// The answer to a challenge, with the very secret of the webhooks, never proves a webhook: not with the text as its body,
    /// and in no writing of the signature.
    #[test]
    fn no_answer_to_a_challenge_is_a_signature(text in challenges()) {
        for (name, scheme) in oracles() {
            let right = verifier(&scheme);
            for value in asked(name, &right, &text) {
                let header = scheme.proven_headers()[0];
                for body in forged(&text) {
                    let request = (vec![(header.to_owned(), value.clone())], body.as_bytes().to_vec());
                    prop_assert!(verified(&request, &right).is_err(), "{name}: {text:?} proves {body:?}");
                }
            }
        }
    }
}

/// X signs the body alone, so its answer *is* the signature of the token. What keeps it from proving anything is that such a body is
/// refused; one that a webhook could have is not answered.
#[test]
fn a_body_of_the_shape_of_a_challenge_is_refused_with_its_right_signature() {
    for (name, header) in [("x-twitter", "x-twitter-webhooks-signature"), ("smartcar", "SC-Signature")] {
        let right = verifier(&builtin(name).unwrap().scheme);
        let request = signed(&right, b"abc123");
        assert_eq!(verified(&request, &right), Err(Refusal::ShapeInvalid), "{name}");
        let head = Head::builder(Method::Post, Version::Http11).target("/x").host("relay.example");
        let head = request.0.iter().fold(head, |head, (name, value)| head.header(name, value)).build();
        let parts = right.examine(&head, Some(&request.1), NOW);
        let refused: Vec<_> = parts.iter().filter(|part| part.found == Found::Bad(Refusal::ShapeInvalid)).collect();
        assert!(refused.len() == 1 && refused[0].because.contains("anybody can ask the relay"), "{name}: {parts:?}");
        let signature = &request.0.iter().find(|(known, _)| known == header).unwrap().1;
        assert!(asked(name, &right, "abc123").contains(signature), "{name}: that is what anybody can ask for");
        assert!(asked(name, &right, "{\"a\":1}").is_empty(), "{name}");
        verified(&signed(&right, b"{\"a\":1}"), &right).unwrap();
    }
}
