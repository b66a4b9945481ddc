//! A genuine request of each family of schemes, with a body of 1.8 KiB.

use std::hint::black_box;
use std::sync::Arc;

use dmz_relay::base::{Secret, UnixMillis};
use dmz_relay::config::recipe::builtin;
use dmz_relay::domain::{Head, Method, Version};
use dmz_relay::scheme::{Key, PublicUrl, SignDraft, Verifier};

/// When everything is signed and verified.
pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const ID: &str = "0191e2a4-7b1c-7c3e-9f00-0123456789ab";

/// A JSON object of about 1.8 KiB, with members that recipes look for at the end, where they cost most.
fn body() -> Vec<u8> {
    let items: Vec<String> =
        (0..34).map(|n| format!("{{\"item\":{n},\"note\":\"some text of an order line\"}}")).collect();
    format!("{{\"data\":[{}],\"id\":\"evt_1\",\"event_id\":\"{ID}\"}}", items.join(",")).into_bytes()
}

fn verifier(name: &str, secrets: usize) -> Verifier {
    let scheme = Arc::clone(&builtin(name).expect("a shipped recipe").scheme);
    let shared = |at: usize| Secret::new(format!("whsec_AAECAwQFBgcICQoLDA0O{at}w==").into_bytes());
    let key = |at: usize| Key {
        id: format!("key-{at}").into(),
        // Where the scheme has public keys, the private one to each.
        secret: scheme.fresh_pair().map_or_else(|| shared(at), |(private, _)| private),
    };
    let url = PublicUrl::parse("https://hooks.example.com").expect("a URL");
    Verifier::sender(Arc::clone(&scheme), (0..secrets).map(key).collect(), Some(url)).expect("keys")
}

/// A genuine request for one scheme, and what verifies it.
pub(crate) struct Subject {
    verifier: Verifier,
    head: Head,
    pub(crate) body: Vec<u8>,
}

impl Subject {
    /// Signed with the first of the secrets, the one that is tried first.
    pub(crate) fn new(name: &str, secrets: usize) -> Self {
        let (verifier, body) = (verifier(name, secrets), body());
        let headers = vec![
            ("User-Agent".to_owned(), "bench".to_owned()),
            ("Accept".to_owned(), "*/*".to_owned()),
            ("Content-Type".to_owned(), "application/json".to_owned()),
        ];
        let draft = SignDraft { method: Method::Post, path_query: "/hooks/x", headers: &headers, body: &body, id: ID };
        let signed = verifier.sign(&draft, NOW).expect("a signature");
        let mut head = Head::builder(Method::Post, Version::Http11).target(&signed.target("/hooks/x"));
        for (name, value) in headers.iter().chain(&signed.headers) {
            head = head.header(name, value);
        }
        Self { verifier, head: head.build(), body: signed.body.to_vec() }
    }

    /// Whether it was found genuine.
    pub(crate) fn verify(&self) -> bool {
        self.verifier.verify(black_box(&self.head), black_box(&self.body), NOW).is_ok()
    }
}
