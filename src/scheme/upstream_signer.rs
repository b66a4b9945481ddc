//! A Standard Webhooks signature of our own, so that an application needs one library for every provider.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use std::fmt;

use data_encoding::{BASE64, BASE64_NOPAD};

use super::algorithm::{Algorithm, State};
use crate::base::{Secret, UnixMillis};

/// What a symmetric secret may have, in bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;
/// What the text form of a secret begins with.
const PREFIX: &[u8] = b"whsec_";

/// The secrets that forwarded requests are signed with. Every one signs: the application may hold any of them.
#[derive(Debug)]
pub struct UpstreamSigner {
    /// Keyed once: a request clones them and never sees a secret.
    keyed: Vec<State>,
}

/// Values of the three fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSignature {
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`, unix seconds of this attempt.
    pub timestamp: String,
    /// `webhook-signature`: `v1,…` for each secret, separated by spaces.
    pub signature: String,
}

/// Why a text is no secret of the specification. Never holds any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsuitable {
    /// What follows `whsec_` is not base64.
    NotBase64,
    /// This many bytes, which is too few or too many.
    Length(usize),
}

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = LENGTHS.into_inner();
        match self {
            Self::NotBase64 => f.write_str("is not base64 behind its \"whsec_\""),
            Self::Length(found) => write!(f, "has {found} bytes; the specification wants {least} to {most}"),
        }
    }
}

impl std::error::Error for Unsuitable {}

impl UpstreamSigner {
    /// Secrets that one route may sign with: each lengthens the field by 48 bytes.
    pub const MAX_KEYS: usize = 8;

    /// The fields that [`Self::sign`] gives values for, in lower case. A sender's own of these names stay outside.
    pub const FIELDS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

    /// A secret as it is written (`whsec_` and base64, or the bytes themselves), decoded.
    pub fn secret(written: &Secret) -> Result<Secret, Unsuitable> {
        let secret = match written.expose().strip_prefix(PREFIX) {
            Some(text) => decoded(text).ok_or(Unsuitable::NotBase64)?,
            None => written.clone(),
        };
        if LENGTHS.contains(&secret.len()) { Ok(secret) } else { Err(Unsuitable::Length(secret.len())) }
    }

    /// Whether a library, given the same text, would take it for base64 where [`Self::secret`] takes it as it is.
    pub fn is_bare_base64(written: &Secret) -> bool {
        let text = written.expose();
        !text.starts_with(PREFIX) && decoded(text).is_some_and(|secret| LENGTHS.contains(&secret.len()))
    }

    /// From decoded secrets; at least one.
    #[expect(clippy::needless_pass_by_value, reason = "the secrets end here, and are wiped")]
    pub fn new(secrets: Vec<Secret>) -> Self {
        let keyed = |secret: &Secret| State::keyed(Algorithm::Sha256, secret.expose());
        Self { keyed: secrets.iter().filter_map(keyed).collect() }
    }

    /// Signs one attempt: `id.timestamp.body`. The time is the attempt's, because applications refuse old ones; the id is
    /// the event's, the same for every attempt. It should have no full stop, which separates the parts.
    pub fn sign(&self, id: &str, now: UnixMillis, body: &[u8]) -> UpstreamSignature {
        let timestamp = now.secs().to_string();
        let mut signature = String::with_capacity(self.keyed.len() * 48);
        for keyed in &self.keyed {
            let mut state = keyed.clone();
            for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
                state.update(part);
            }
            if !signature.is_empty() {
                signature.push(' ');
            }
            signature.push_str("v1,");
            BASE64.encode_append(state.finish().as_bytes(), &mut signature);
        }
        UpstreamSignature { id: id.to_owned(), timestamp, signature }
    }
}

/// Libraries take a secret with and without its padding.
fn decoded(text: &[u8]) -> Option<Secret> {
    let bare = match text {
        [bare @ .., b'=', b'='] | [bare @ .., b'='] => bare,
        bare => bare,
    };
    BASE64_NOPAD.decode(bare).ok().map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification and of every official library's tests.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: UnixMillis = UnixMillis(1_614_265_330_999);
    const BODY: &[u8] = b"{\"test\": 2432232314}";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn text(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    fn taken(written: &str) -> Secret {
        UpstreamSigner::secret(&text(written)).unwrap()
    }

    #[test]
    fn the_specification_s_example_comes_out() {
        let resigned = UpstreamSigner::new(vec![taken(SECRET)]).sign(ID, AT, BODY);
        let expected = UpstreamSignature {
            id: ID.to_owned(),
            timestamp: "1614265330".to_owned(),
            signature: SIGNATURE.to_owned(),
        };
        assert_eq!(resigned, expected);
    }

    #[test]
    fn every_secret_signs_in_its_order() {
        let other = text("exactly-these-bytes-0123456789ab");
        let alone = UpstreamSigner::new(vec![UpstreamSigner::secret(&other).unwrap()]).sign(ID, AT, BODY).signature;
        let both = UpstreamSigner::new(vec![taken(SECRET), other]).sign(ID, AT, BODY).signature;
        assert_ne!(alone, SIGNATURE);
        assert_eq!(both, format!("{SIGNATURE} {alone}"));
    }

    #[test]
    fn id_time_and_body_are_all_signed() {
        let signer = UpstreamSigner::new(vec![taken(SECRET)]);
        let whole = signer.sign(ID, AT, BODY).signature;
        for other in [
            signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJeK", AT, BODY),
            signer.sign(ID, UnixMillis(AT.0 + 1000), BODY),
            signer.sign(ID, AT, b"{\"test\": 2432232315}"),
            signer.sign(ID, AT, b""),
        ] {
            assert_ne!(other.signature, whole);
        }
    }

    #[test]
    fn a_secret_is_base64_behind_its_prefix_and_itself_without() {
        assert_eq!(taken(SECRET).expose(), BASE64.decode(&SECRET.as_bytes()[6..]).unwrap());
        assert_eq!(taken("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").len(), 32);
        let bare = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGA";
        let padded = taken(&format!("whsec_{bare}=="));
        assert_eq!(padded.expose(), taken(&format!("whsec_{bare}")).expose());
        for broken in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS-", "whsec_A", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa S"] {
            assert_eq!(UpstreamSigner::secret(&text(broken)).unwrap_err(), Unsuitable::NotBase64, "{broken}");
        }
        assert_eq!(UpstreamSigner::secret(&text("whsec_")).unwrap_err(), Unsuitable::Length(0));
        assert_eq!(UpstreamSigner::secret(&text("twenty-three-bytes-here")).unwrap_err(), Unsuitable::Length(23));
        assert_eq!(UpstreamSigner::secret(&text(&"x".repeat(65))).unwrap_err(), Unsuitable::Length(65));
        assert!(UpstreamSigner::is_bare_base64(&text(bare)));
        assert!(UpstreamSigner::is_bare_base64(&text("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")));
        assert!(!UpstreamSigner::is_bare_base64(&text(SECRET)));
        assert!(!UpstreamSigner::is_bare_base64(&text("exactly-these-bytes-0123456789ab")));
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", UpstreamSigner::new(vec![text("canary-canary-canary-canary-1234")]));
        assert_eq!(shown, "UpstreamSigner { keyed: [State(…)] }");
    }
}
