//! Secrets: where each comes from, and the name by which logs speak of it.

use std::collections::hash_map;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use toml::Spanned;

use super::Compiler;
use super::values::shown;
use crate::base::Secret;
use crate::config::raw::{RawSecret, RawSecretEntry};
use crate::signature::{Key, MAX_KEYS};

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
        self.shared(entry, key, &id, &secret);
        Some(Key { id, secret })
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
            Some(id) if self.name(id, key) => Arc::from(id.get_ref().as_str()),
            Some(_) => return None,
            None => Arc::from(format!("{form}:{}", shown(text))),
        };
        match read {
            Ok(secret) => Some((id, secret)),
            Err(_) if self.sources.gaps() => {
                self.gaps.push(Arc::clone(&id));
                Some((id, Secret::new(PLACEHOLDER.to_vec())))
            }
            Err(error) => {
                self.reject(value, key, error.to_string(), error.help());
                None
            }
        }
    }
}
