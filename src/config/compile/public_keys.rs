//! Public keys: from the file itself or from one that anybody may read. Nothing about them is secret; who may write them matters.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use toml::Spanned;

use super::Compiler;
use super::values::shown;
use crate::base::Secret;
use crate::config::raw::{RawPublicKeyEntry, RawPublicKeySource};
use crate::scheme::{Key, MAX_KEYS};

const FORMS: &str = "write \"…\", { key = \"…\", id = \"…\" } or { file = \"…\" }";

/// A list of public keys with its place.
pub(super) type RawPublicKeys = Spanned<Vec<Spanned<RawPublicKeyEntry>>>;

impl Compiler<'_> {
    /// A route's public keys, the current one first.
    pub(super) fn public_keys(&mut self, list: &RawPublicKeys, key: &str) -> Vec<Key> {
        if list.get_ref().is_empty() {
            self.reject(list, key, "the list is empty, so no request could ever be genuine", FORMS);
        }
        if list.get_ref().len() > MAX_KEYS {
            let what = format!("more than {MAX_KEYS} public keys for one route");
            self.reject(list, key, what, "remove those that are rotated out");
            return Vec::new();
        }
        let mut keys: Vec<Key> = Vec::new();
        for entry in list.get_ref() {
            let Some(found) = self.public_key(entry, key) else { continue };
            // One key under several ids is for schemes that compare or sign the id: two webhooks of a provider that has one key.
            let named = matches!(entry.get_ref(), RawPublicKeyEntry::Table(given) if given.id.is_some());
            if !named && keys.iter().any(|other| other.secret.matches(found.secret.expose())) {
                self.warn(entry, key, format!("\"{}\" is the same key as one before it", found.id), "remove it");
            } else if keys.iter().any(|other| other.id == found.id) {
                let what = format!("two public keys have the id \"{}\"", found.id);
                self.reject(entry, key, what, "give each its own id = \"…\"");
            } else {
                keys.push(found);
            }
        }
        keys
    }

    fn public_key(&mut self, entry: &Spanned<RawPublicKeyEntry>, key: &str) -> Option<Key> {
        let given = match entry.get_ref() {
            RawPublicKeyEntry::Text(text) => return Some(written(text, None)),
            RawPublicKeyEntry::Table(given) => given,
        };
        let id = match &given.id {
            Some(id) if self.key_id(id, key) => Some(Arc::from(id.get_ref().as_str())),
            Some(_) => return None,
            None => None,
        };
        match given {
            RawPublicKeySource { key: Some(text), file: None, .. } => Some(written(text.get_ref(), id)),
            RawPublicKeySource { key: None, file: Some(path), .. } => {
                let id = id.unwrap_or_else(|| format!("file:{}", shown(path.get_ref())).into());
                match self.sources.certificates(path.get_ref()) {
                    Ok(text) => Some(Key { id, secret: Secret::new(text.trim_ascii().to_vec()) }),
                    Err(_) if self.sources.gaps() => {
                        self.gaps.push(id);
                        None
                    }
                    Err(error) => {
                        self.unusable(path, key, &error);
                        None
                    }
                }
            }
            _ => {
                self.reject(entry, key, "expected exactly one of key and file", FORMS);
                None
            }
        }
    }
}

/// One that stands in the file is known by the beginning of its digest, which stays the same wherever in the list it stands.
fn written(text: &str, id: Option<Arc<str>>) -> Key {
    let digest = HEXLOWER.encode(Sha256::digest(text.trim()).get(..4).unwrap_or_default());
    Key { id: id.unwrap_or_else(|| format!("key:{digest}").into()), secret: Secret::new(text.trim().into()) }
}
