//! Public keys: from the file itself or from one that anybody may read. Nothing about them is secret; who may write them matters.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use toml::Spanned;

use super::Compiler;
use super::values::shown;
use crate::base::Secret;
use crate::config::raw::{RawPublicKeyEntry, RawPublicKeySource};
use crate::scheme::{Key, MAX_KEYS, key_set};

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
            for found in self.public_key(entry, key) {
                self.add(entry, key, found, &mut keys);
            }
        }
        keys
    }

    fn add(&mut self, entry: &Spanned<RawPublicKeyEntry>, key: &str, found: Key, keys: &mut Vec<Key>) {
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

    /// One key, or all of a set.
    fn public_key(&mut self, entry: &Spanned<RawPublicKeyEntry>, key: &str) -> Vec<Key> {
        let given = match entry.get_ref() {
            RawPublicKeyEntry::Text(text) => return self.keys_in(entry, key, text.as_bytes(), None, None),
            RawPublicKeyEntry::Table(given) => given,
        };
        let id = match &given.id {
            Some(id) if self.key_id(id, key) => Some(Arc::from(id.get_ref().as_str())),
            Some(_) => return Vec::new(),
            None => None,
        };
        match given {
            RawPublicKeySource { key: Some(text), file: None, .. } => {
                self.keys_in(entry, key, text.get_ref().as_bytes(), id, None)
            }
            RawPublicKeySource { key: None, file: Some(path), .. } => {
                let name: Arc<str> = format!("file:{}", shown(path.get_ref())).into();
                match self.sources.certificates(path.get_ref()) {
                    Ok(text) => self.keys_in(entry, key, &text, id, Some(name)),
                    Err(_) if self.sources.gaps() => {
                        self.gaps.push(id.unwrap_or(name));
                        Vec::new()
                    }
                    Err(error) => {
                        self.unusable(path, key, &error);
                        Vec::new()
                    }
                }
            }
            _ => {
                self.reject(entry, key, "expected exactly one of key and file", FORMS);
                Vec::new()
            }
        }
    }

    /// A text may be a set. Its keys have names of their own; a key without one is known as any other.
    fn keys_in(
        &mut self,
        entry: &Spanned<RawPublicKeyEntry>,
        key: &str,
        text: &[u8],
        id: Option<Arc<str>>,
        file: Option<Arc<str>>,
    ) -> Vec<Key> {
        let set = match key_set(text) {
            None => return vec![one(text, id.or(file))],
            Some(Ok(set)) => set,
            Some(Err(fault)) => {
                let name = file.map_or_else(String::new, |file| format!("\"{file}\" "));
                self.reject(entry, key, format!("{name}{fault}"), "enter the public keys as the provider shows them");
                return Vec::new();
            }
        };
        if let (Some(_), [_, _, ..]) = (&id, &*set) {
            let what = "has an id, and is a set of several keys, each with its own";
            self.reject(entry, key, what, "leave the id out");
            return Vec::new();
        }
        set.into_iter().map(|(kid, secret)| one(secret.expose(), id.clone().or(kid.map(Into::into)))).collect()
    }
}

/// One without a name is known by the beginning of its digest, which stays the same wherever in the list it stands.
fn one(text: &[u8], id: Option<Arc<str>>) -> Key {
    let text = text.trim_ascii();
    let digest = HEXLOWER.encode(Sha256::digest(text).get(..4).unwrap_or_default());
    Key { id: id.unwrap_or_else(|| format!("key:{digest}").into()), secret: Secret::new(text.to_vec()) }
}
