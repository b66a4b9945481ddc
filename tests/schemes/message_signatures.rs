//! Mistakes around HTTP message signatures (RFC 9421), and what is said of each.

use std::sync::Arc;

use dmz_relay::domain::{Head, Method, Version};
use dmz_relay::scheme::{Scheme, Verifier};

use crate::{JSON, NOW, Request, inline, signed, verifier};

const SECRET: &str = "canary-0123456789abcdef";

fn scheme(rest: &str) -> Arc<Scheme> {
    inline(&format!("verify.message_signature = {{ algorithm = 'hmac-sha256', tolerance = '1m', {rest} }}"))
}

fn genuine(scheme: &Arc<Scheme>) -> (Verifier, Request) {
    let by = verifier(scheme, &[SECRET]);
    let request = signed(&by, JSON, b"{\"a\":1}");
    request.verify(&by, NOW).unwrap();
    (by, request)
}

/// What is said of a request that is refused.
fn found(by: &Verifier, request: &Request, host: &str) -> Vec<String> {
    let refusal = request.verify(by, NOW).unwrap_err();
    let mut head = Head::builder(Method::Post, Version::Http11).target(&request.target).host(host);
    for (name, value) in &request.headers {
        head = head.header(name, value);
    }
    let found = by.diagnose(&head.build(), Some(&request.body), refusal, NOW, &[]);
    assert!(!found.iter().any(|finding| finding.contains("canary")), "{found:?}");
    found
}

fn changed(request: &Request, name: &str, change: impl Fn(&str) -> Option<String>) -> Request {
    let headers = request.headers.iter().filter_map(|(known, value)| {
        let value = if known.eq_ignore_ascii_case(name) { change(value)? } else { value.clone() };
        Some((known.clone(), value))
    });
    let (method, target, body) = (request.method, request.target.clone(), request.body.clone());
    Request { method, target, headers: headers.collect(), body }
}

#[test]
fn what_is_not_covered_or_not_known_is_named() {
    let (by, request) = genuine(&scheme("components = ['@method', '@authority', 'content-digest']"));
    let says = |request: &Request, host: &str, words: &str| {
        let found = found(&by, request, host);
        assert!(found.iter().any(|finding| finding.contains(words)), "{words}: {found:?}");
    };
    let input = |change: &dyn Fn(&str) -> Option<String>| changed(&request, "signature-input", change);
    let replaced = |from: &'static str, to: &'static str| input(&|text| Some(text.replace(from, to)));
    let here = "hooks.example.com";
    says(&input(&|_| None), here, "there is Signature and no Signature-Input");
    let older = changed(&input(&|_| None), "signature", |_| Some("keyId=\"k\",headers=\"date\"".to_owned()));
    says(&older, here, "of the drafts before RFC 9421");
    says(&changed(&request, "signature", |_| None), here, "there is Signature-Input and no Signature");
    says(&replaced("sig1=", ""), here, "Signature-Input cannot be read: it is a list of labels");
    says(&replaced("sig1=", "other="), here, "Signature-Input has nothing called `sig1`, but `other`");
    says(&replaced(" \"content-digest\"", ""), here, "the signature does not cover `content-digest`");
    says(&replaced("\"@method\"", "\"date\""), here, "does not cover `@method`");
    says(&replaced("\"@method\"", "\"@method\" \"date\""), here, "covers `date`, and the request has no such header");
    says(&replaced("\"@method\"", "\"@method\";req"), here, "it covers `@method` with a parameter");
    says(
        &replaced("\"@method\"", "\"@method\" \"@query-param\""),
        here,
        "it covers `@query-param`, which is not known here",
    );
    says(&replaced("\"@method\"", "\"@method\" \"@method\""), here, "it covers `@method` twice");
    says(
        &replaced("hmac-sha256", "ed25519"),
        here,
        "the sender signs with `ed25519`, and the scheme has `hmac-sha256`",
    );

    let mut other = changed(&request, "x", |_| None);
    other.body = b"{\"a\": 1}".to_vec();
    says(&other, here, "Content-Digest is that of another body");
    let by = verifier(&scheme("components = ['@method', '@authority', 'content-digest']"), &["canary-of-another-one"]);
    let found = found(&by, &request, "hooks.example.net");
    let host =
        "`@authority`, which is of `hooks.example.com` by `public_url`, and the request came for `hooks.example.net`";
    assert!(found.iter().any(|finding| finding.contains(host)), "{found:?}");
}

#[test]
fn which_of_several_signatures_counts_is_asked_for() {
    let (by, request) = genuine(&scheme("components = ['content-digest'], label = 'ours'"));
    let renamed = changed(&request, "signature", |text| Some(text.replace("ours=", "theirs=")));
    let renamed = changed(&renamed, "signature-input", |text| Some(text.replace("ours=", "theirs=")));
    assert!(found(&by, &renamed, "hooks.example.com")[0].contains("Signature has nothing called `ours`, but `theirs`"));

    let (by, request) = genuine(&scheme("components = ['content-digest']"));
    let twice = changed(&request, "signature", |text| Some(format!("{text}, {}", text.replace("sig1=", "sig2="))));
    assert!(found(&by, &twice, "hooks.example.com")[0].contains("several signatures (`sig1`, `sig2`)"));
}
