//! Names of fields and parameters, and what a name says of itself.

use super::Class;

/// Names by their length, lower case. They come from the configuration, so each list is short.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<Vec<(Box<str>, Class)>>);

impl Names {
    /// What is a secret in one place is one everywhere.
    pub(super) fn add(&mut self, name: &str, class: Class) {
        let name = name.to_ascii_lowercase();
        if self.0.len() <= name.len() {
            self.0.resize_with(name.len() + 1, Vec::new);
        }
        let Some(same_length) = self.0.get_mut(name.len()) else { return };
        match same_length.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, known)) => *known = class.max(*known),
            None => same_length.push((name.into(), class)),
        }
    }

    /// In any case.
    pub(super) fn find(&self, name: &[u8]) -> Option<Class> {
        // The last letter alone rules nearly all of them out.
        let last = name.last().map(u8::to_ascii_lowercase);
        let is = |known: &str| known.as_bytes().last().copied() == last && known.as_bytes().eq_ignore_ascii_case(name);
        self.0.get(name.len())?.iter().find(|(known, _)| is(known)).map(|(_, class)| *class)
    }
}

/// Parts of names that give a secret away.
const SECRETS: [&str; 8] = ["secret", "token", "passw", "credential", "api-key", "api_key", "apikey", "authoriz"];
/// Parts of names that give a signature away.
const SIGNATURES: [&str; 2] = ["sign", "hmac"];
/// Whole names under which senders put secrets, too short or too common to be looked for inside others: `passenger`, `postcode`
/// and `author` are none. `x-` may stand before each. Azure's `sig` opens a file to whoever has the address.
const WHOLE: [&str; 19] = [
    "access",
    "assertion",
    "auth",
    "bearer",
    "code",
    "creds",
    "jwt",
    "jwe",
    "otp",
    "pass",
    "passcode",
    "passphrase",
    "pin",
    "psk",
    "pwd",
    "sas",
    "session",
    "sessionid",
    "sig",
];
/// Names that end like one of a secret, and are none.
const INNOCENT: [&str; 2] = ["idempotency-key", "sec-websocket-key"];

/// What a name that nobody configured says of its value.
pub(super) fn telling(name: &str) -> Class {
    let name = name.as_bytes();
    let mut class = Class::Plain;
    for at in 0..name.len() {
        let rest = name.get(at..).unwrap_or_default();
        let starts =
            |part: &str| rest.get(..part.len()).is_some_and(|start| start.eq_ignore_ascii_case(part.as_bytes()));
        // Most letters begin none of them.
        match rest.first().map(u8::to_ascii_lowercase) {
            Some(b's' | b't' | b'p' | b'c' | b'a') if SECRETS.iter().any(|part| starts(part)) => return Class::Secret,
            Some(b's' | b'h') if SIGNATURES.iter().any(|part| starts(part)) => class = Class::Signature,
            Some(b'k') if rest.eq_ignore_ascii_case(b"key") => {
                let innocent = INNOCENT.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
                return if innocent { class } else { Class::Secret };
            }
            _ => {}
        }
    }
    let bare =
        name.split_at_checked(2).filter(|(start, _)| start.eq_ignore_ascii_case(b"x-")).map_or(name, |(_, bare)| bare);
    if WHOLE.iter().any(|known| bare.eq_ignore_ascii_case(known.as_bytes())) { Class::Secret } else { class }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_telling_as_a_whole_and_never_inside_another_one() {
        for name in WHOLE {
            for spelled in [name.to_owned(), name.to_uppercase(), format!("x-{name}"), format!("X-{name}")] {
                assert_eq!(telling(&spelled), Class::Secret, "{spelled}");
            }
        }
        let words = [
            "passenger",
            "compass",
            "postcode",
            "code_id",
            "country-code",
            "author",
            "access-point",
            "session-count",
            "pinned",
            "x-",
            "x",
            "",
            "accept",
            "event",
            "state",
            "id",
            "x-request-id",
            "traceparent",
            "sigma",
            "encode",
            "shipping",
        ];
        for name in words {
            assert_eq!(telling(name), Class::Plain, "{name}");
        }
        assert_eq!(telling("x-signature"), Class::Signature);
    }
}
