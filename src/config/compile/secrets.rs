//! Secrets: where each comes from, and the name by which logs speak of it.

use std::collections::hash_map;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use toml::Spanned;

use super::Compiler;
use super::values::shown;
use crate::base::Secret;
use crate::config::raw::{RawSecret, RawSecretEntry};
use crate::scheme::{Key, MAX_KEYS};

/// Below this a secret can be guessed.
const SHORT: usize = 16;
/// In place of a secret that is left out: long enough for every use, and base64.
const PLACEHOLDER: &[u8] = b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const FORMS: &str = "write { file = \"…\" }, { credential = \"…\" } or { env = \"…\" }";

impl Compiler<'_> {
    /// A route's secrets, current one first.
    pub(super) fn keys(&mut self, list: &Spanned<Vec<Spanned<RawSecretEntry>>>, key: &str) -> Vec<Key> {
        if list.get_ref().is_empty() {
            self.reject(list, key, "the list is empty, so no request could ever be genuine", FORMS);
        }
        if list.get_ref().len() > MAX_KEYS {
            let what = format!("more than {MAX_KEYS} secrets for one route");
            self.reject(list, key, what, "remove those that are rotated out");
            return Vec::new();
        }
        let mut keys: Vec<Key> = Vec::new();
        for entry in list.get_ref() {
            let Some(found) = self.key(entry, key) else { continue };
            if keys.iter().any(|other| other.id == found.id) {
                let what = format!("two secrets have the id \"{}\"", found.id);
                self.reject(entry, key, what, "give each its own id = \"…\"");
            } else if keys.iter().any(|other| other.secret.matches(found.secret.expose())) {
                self.warn(entry, key, format!("\"{}\" holds the same secret as one before it", found.id), "remove it");
            }
            keys.push(found);
        }
        keys
    }

    fn key(&mut self, entry: &Spanned<RawSecretEntry>, key: &str) -> Option<Key> {
        let RawSecretEntry::Reference(reference) = entry.get_ref() else {
            self.reject(entry, key, "a secret never stands in this file", FORMS);
            return None;
        };
        let (id, secret) = self.secret(entry, reference, key)?;
        if self.left_out(&id) {
            return None;
        }
        if secret.len() < SHORT {
            let what = format!("\"{id}\" has {} bytes; below {SHORT} it can be guessed", secret.len());
            self.warn(entry, key, what, "ask the provider for a longer one");
        }
        self.doubtful(entry, key, &id, &secret);
        self.shared(entry, key, &id, &secret);
        Some(Key { id, secret })
    }

    /// Warns of what got into a secret with an editor or a script. It says which, and never the secret.
    pub(super) fn doubtful<T>(&mut self, at: &Spanned<T>, key: &str, id: &str, secret: &Secret) {
        if let Some((what, help)) = doubt(secret.expose()) {
            self.warn(at, key, format!("\"{id}\" {what}"), help);
        }
    }

    /// Warns of a secret that proves requests to another route as well.
    fn shared<T>(&mut self, at: &Spanned<T>, key: &str, id: &str, secret: &Secret) {
        let line = self.problems.line_of(&at.span());
        match self.seen.entry(Sha256::digest(secret.expose()).into()) {
            hash_map::Entry::Vacant(free) => {
                free.insert((key.to_owned(), line));
            }
            hash_map::Entry::Occupied(first) if first.get().0 != key => {
                let (first, line) = first.get();
                let what = format!(
                    "\"{id}\" holds the same secret as {first} (line {line}): what one proves, the other takes for genuine"
                );
                self.warn(at, key, what, "have the provider make one secret for each endpoint");
            }
            hash_map::Entry::Occupied(_) => {}
        }
    }

    /// Whether the secret that was read last is none.
    pub(super) fn left_out(&self, id: &Arc<str>) -> bool {
        self.gaps.last() == Some(id)
    }

    /// A secret and its id: the configured one, or `file:…`, `credential:…`, `env:…`.
    pub(super) fn secret<T>(&mut self, at: &Spanned<T>, raw: &RawSecret, key: &str) -> Option<(Arc<str>, Secret)> {
        let named = [("file", &raw.file), ("credential", &raw.credential), ("env", &raw.env)];
        let mut named = named.into_iter().filter_map(|(form, value)| Some((form, value.as_ref()?)));
        let (Some((form, value)), None) = (named.next(), named.next()) else {
            self.reject(at, key, "expected exactly one of file, credential and env", FORMS);
            return None;
        };
        let text = value.get_ref().as_str();
        let read = match form {
            "file" => self.sources.secret_file(text),
            "credential" => self.sources.credential(text),
            _ => self.sources.variable(text),
        };
        let id = match &raw.id {
            Some(id) if self.key_id(id, key) => Arc::from(id.get_ref().as_str()),
            Some(_) => return None,
            None => Arc::from(format!("{form}:{}", shown(text))),
        };
        match read {
            Ok(secret) => Some((id, secret)),
            Err(_) if self.sources.gaps() => {
                self.gaps.push(Arc::clone(&id));
                Some((id, Secret::new(PLACEHOLDER.to_vec())))
            }
            Err(error) => match self.sources.in_unit(error, text) {
                Ok(kind) => {
                    let text = shown(text);
                    let what = format!("the {kind} \"{text}\" was not looked at: it exists only inside the unit");
                    let help = match kind {
                        "credential" => format!("LoadCredential={text}:PATH in the unit names its file"),
                        _ => format!("Environment={text}=… or EnvironmentFile= of the unit sets it"),
                    };
                    self.warn(value, key, what, help);
                    self.gaps.push(Arc::clone(&id));
                    Some((id, Secret::new(PLACEHOLDER.to_vec())))
                }
                Err(error) => {
                    self.unusable(value, key, &error);
                    None
                }
            },
        }
    }
}

/// What stands in a secret that no provider put there.
fn doubt(secret: &[u8]) -> Option<(&'static str, &'static str)> {
    const PLAIN: &str = "write it again without that: printf %s \"$SECRET\" > FILE";
    let halves = |from: usize| secret.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let is_wide = secret.len() >= 4 && halves(0).max(halves(1)) >= secret.len() / 2;
    let name = secret.split(|byte| *byte == b'=').next().unwrap_or_default();
    let after = secret.get(name.len() + 1..).unwrap_or_default();
    let is_name = name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    // Base64 ends with its padding.
    let is_assigned = is_name && after.iter().any(|byte| *byte != b'=');
    Some(match secret {
        _ if secret.iter().all(u8::is_ascii_whitespace) => ("holds nothing but blanks", PLAIN),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => ("is UTF-16, and providers compute with UTF-8", "save it as UTF-8"),
        _ if is_wide => ("is UTF-16, and providers compute with UTF-8", "save it as UTF-8"),
        [0xef, 0xbb, 0xbf, ..] => {
            ("begins with a byte order mark, which counts as part of it", "save it as UTF-8 without one")
        }
        _ if secret.contains(&b'\n') => (
            "has more than one line, and all of them count as one secret",
            "one file for each secret, in a list of them",
        ),
        _ if is_assigned => {
            ("looks like NAME=value, and all of it counts as the secret", "leave the name and the \"=\" out")
        }
        [first @ (b'"' | b'\''), .., last] if first == last => ("stands in quotes, which count as part of it", PLAIN),
        [first, ..] if first.is_ascii_whitespace() => ("begins with a blank, which counts as part of it", PLAIN),
        [.., last] if last.is_ascii_whitespace() => ("ends with a blank, which counts as part of it", PLAIN),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::doubt;

    #[test]
    fn what_an_editor_or_a_script_left_in_a_secret_is_named() {
        let wide: Vec<u8> = "secret-0123456789".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let marked = [b"\xff\xfe", wide.as_slice()].concat();
        for (secret, told) in [
            (b"   \t  ".as_slice(), "nothing but blanks"),
            (&wide, "UTF-16"),
            (&marked, "UTF-16"),
            (b"\xef\xbb\xbfsecret-0123456789", "byte order mark"),
            (b"secret-0123456789\nsecret-9876543210", "more than one line"),
            (b"GITHUB_SECRET=secret-0123456789", "NAME=value"),
            (b"\"secret-0123456789\"", "quotes"),
            (b"'secret-0123456789'", "quotes"),
            (b" secret-0123456789", "begins with a blank"),
            (b"secret-0123456789\r", "ends with a blank"),
        ] {
            assert!(doubt(secret).is_some_and(|(what, _)| what.contains(told)), "{told}: {:?}", doubt(secret));
        }
    }

    #[test]
    fn what_providers_make_is_in_no_doubt() {
        for secret in [
            b"secret-0123456789abcdef".as_slice(),
            b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            b"c2VjcmV0LTAxMjM0NTY3ODk=",
            b"c2VjcmV0LTAxMjM0NTY3ODkwMQ==",
            b"a+b/c0123456789==",
            b"correct horse battery staple",
            b"\x01\x02\x03\x04\x05\x06\x07",
        ] {
            assert_eq!(doubt(secret), None, "{}", secret.escape_ascii());
        }
    }
}
