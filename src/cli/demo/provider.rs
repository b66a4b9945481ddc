//! What each system does on its side, written from its documentation and not from the relay's code: a demo in which the
//! relay signed for itself would show nothing.

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

use crate::base::Secret;
use crate::cli::sender::Request;

/// An Oktave delivery attempt. The signature is over event id and time, one behind the other; the body is not in it.
pub(super) struct Oktave<'a> {
    pub(super) path: &'a str,
    pub(super) event: &'a str,
    /// Of this attempt; a retry has another one.
    pub(super) attempt: &'a str,
    /// Seconds since 1970.
    pub(super) at: i64,
}

impl Oktave<'_> {
    pub(super) fn request(&self, secret: &Secret) -> Request {
        let body = json!({
            "id": self.attempt,
            "event_id": self.event,
            "timestamp": self.at,
            "type": "response.completed",
            "is_test": true,
            "data": { "score": 9, "comment": "Très bien, merci !" },
        });
        let signature = HEXLOWER.encode(&hmac_sha256(secret, format!("{}{}", self.event, self.at).as_bytes()));
        let headers = [
            ("Content-Type", "application/json"),
            ("Oktave-Event-Id", self.event),
            ("Oktave-Timestamp", &self.at.to_string()),
            ("Oktave-Signature", &signature),
        ];
        request("POST", self.path, &headers, body.to_string())
    }
}

/// A Dastra event. The signature is over the body and nothing else.
pub(super) fn dastra(path: &str, event: &str, secret: &Secret) -> Request {
    let body = json!({ "event": "dataSubjectRequest.created", "id": event, "workspace": 7 }).to_string();
    let signature = BASE64.encode(&hmac_sha256(secret, body.as_bytes()));
    request("POST", path, &[("Content-Type", "application/json"), ("Dastra-Signature", &signature)], body)
}

/// A push event of GitHub. The signature is over the body; the delivery's id is not signed.
pub(super) fn github(path: &str, delivery: &str, commit: &str, secret: &Secret) -> Request {
    let push = json!({ "ref": "refs/heads/main", "after": commit, "commits": [], "pusher": { "name": "ada" } });
    github_signed(path, delivery, push.to_string(), secret)
}

/// One with a body of about 1 MiB.
pub(super) fn large_github(path: &str, commit: &str, secret: &Secret) -> Request {
    let message = "x".repeat(1024 * 1024 - 200);
    let push = json!({ "ref": "refs/heads/main", "after": commit, "commits": [{ "message": message }] });
    github_signed(path, commit, push.to_string(), secret)
}

fn github_signed(path: &str, delivery: &str, body: String, secret: &Secret) -> Request {
    let signature = format!("sha256={}", HEXLOWER.encode(&hmac_sha256(secret, body.as_bytes())));
    let headers = [
        ("Content-Type", "application/json"),
        ("User-Agent", "GitHub-Hookshot/0000000"),
        ("X-GitHub-Event", "push"),
        ("X-GitHub-Delivery", delivery),
        ("X-Hub-Signature-256", &signature),
    ];
    request("POST", path, &headers, body)
}

/// An event of Stripe. The signature is over time and body, with a dot between them.
pub(super) fn stripe(path: &str, event: &str, amount: u64, at: i64, secret: &Secret) -> Request {
    let body = json!({
        "id": format!("evt_{}", event.replace('-', "")),
        "object": "event",
        "type": "payment_intent.succeeded",
        "data": { "object": { "amount": amount, "currency": "eur" } },
    });
    let body = body.to_string();
    let signature = HEXLOWER.encode(&hmac_sha256(secret, format!("{at}.{body}").as_bytes()));
    let signature = format!("t={at},v1={signature}");
    request("POST", path, &[("Content-Type", "application/json"), ("Stripe-Signature", &signature)], body)
}

/// A call to an endpoint as Octolis offers it: a key in the query, methods, and a header with a value.
pub(super) fn octolis(method: &str, path: &str, key: Option<&Secret>, tenant: Option<&str>) -> Request {
    let target = match key {
        Some(key) => format!("{path}?source=shop&api-key={}", String::from_utf8_lossy(key.expose())),
        None => format!("{path}?source=shop"),
    };
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(tenant.map(|tenant| ("X-Tenant", tenant)));
    request(method, &target, &headers, json!({ "email": "ada@example.com", "consent": true }).to_string())
}

/// Replaces the value of a header.
pub(super) fn with_header(mut request: Request, name: &str, value: &str) -> Request {
    for header in request.headers.iter_mut().filter(|(known, _)| known == name) {
        value.clone_into(&mut header.1);
    }
    request
}

/// Gives a header another name.
pub(super) fn with_name(mut request: Request, name: &str, other: &str) -> Request {
    for header in request.headers.iter_mut().filter(|(known, _)| known == name) {
        other.clone_into(&mut header.0);
    }
    request
}

/// Takes a header away.
pub(super) fn without_header(mut request: Request, name: &str) -> Request {
    request.headers.retain(|(known, _)| known != name);
    request
}

/// Replaces a text in the body by another.
pub(super) fn with_body(mut request: Request, from: &str, to: &str) -> Request {
    request.body = Bytes::from(String::from_utf8_lossy(&request.body).replace(from, to));
    request
}

fn request(method: &str, target: &str, headers: &[(&str, &str)], body: String) -> Request {
    Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: Bytes::from(body),
    }
}

fn hmac_sha256(secret: &Secret, message: &[u8]) -> Vec<u8> {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose()) else { return Vec::new() };
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation ("Validating webhook deliveries").
    #[test]
    fn github_signs_as_its_documentation_says() {
        let request =
            github_signed("/", "d", "Hello, World!".to_owned(), &Secret::new(b"It's a Secret to Everybody".to_vec()));
        let signature = request.headers.iter().find(|(name, _)| name == "X-Hub-Signature-256");
        let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(signature.map(|(_, value)| value.as_str()), Some(expected));
    }

    /// The published vector of Oktave's SDK (secret and event id of its test, the time fixed).
    #[test]
    fn oktave_signs_as_its_sdk_does() {
        let attempt = Oktave { path: "/", event: "event-id", attempt: "r1", at: 1_700_000_000 };
        let request = attempt.request(&Secret::new(b"secret".to_vec()));
        let signature = request.headers.iter().find(|(name, _)| name == "Oktave-Signature");
        let expected = "47feb5070d5f726849ecc276db791d5b8674842e9b8023ab9fc1e1019378d440";
        assert_eq!(signature.map(|(_, value)| value.as_str()), Some(expected));
    }
}
