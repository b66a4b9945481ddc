//! How a request is written for the upstream.

use toml::Spanned;

use super::super::recipes::Suggested;
use super::super::values::{join, shown};
use super::super::{Compiler, Named};
use crate::base::Secret;
use crate::config::raw::{RawRoute, RawSecretEntry, RawValue, Table};
use crate::config::recipe::field_pattern;
use crate::domain::field_list::{self, BASE, FieldList, FieldPattern};
use crate::guards::access::RequiredHeader;
use crate::runtime::routing::PathPattern;
use crate::runtime::snapshot::Forwarding;
use crate::scheme::{UpstreamSigner, spelling};

/// Names that the relay sets itself, or that belong to one connection.
const OWN: [&str; 16] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

impl Compiler<'_> {
    pub(super) fn forwarding(
        &mut self,
        raw: &RawRoute,
        key: &str,
        path: Option<&PathPattern>,
        required: &[RequiredHeader],
        suggested: &Suggested,
        named: &Named,
    ) -> Forwarding {
        let sign_with = self.sign_with(raw, &join(key, "sign_with"));
        let headers = self.upstream_headers(raw.upstream_headers.as_ref(), &join(key, "upstream_headers"));
        let query = self.upstream_query(raw.upstream_query.as_ref(), &join(key, "upstream_query"));
        let set = headers.iter().map(|(name, _)| name.as_str());
        let set: Vec<&str> = set.chain(sign_with.iter().flat_map(|_| UpstreamSigner::FIELDS)).collect();
        let listed = self.forward_headers(raw, &join(key, "forward_headers"), &set);
        let read = BASE.iter().copied().chain(required.iter().map(|header| header.name.as_str()));
        let read = read.filter_map(|name| FieldPattern::parse(name).ok());
        let fields = FieldList::new(read.chain(suggested.forward.iter().cloned()).chain(listed), set);
        let trace_key = join(key, "trust_trace_from");
        let replaced = suggested.strip_query.iter().map(|name| name.as_bytes());
        let replaced = replaced.chain(query.iter().map(|(name, _)| name.as_bytes()));
        Forwarding {
            fields,
            trust_trace_from: self.peers(raw.trust_trace_from.as_ref(), &trace_key, &named.lists),
            replaced_query: replaced.map(|name| spelling::folded(name).collect()).collect(),
            sign_with,
            path: raw.upstream_path.as_ref().and_then(|at| self.upstream_path(at, &join(key, "upstream_path"), path)),
            headers,
            query,
            strip_query: suggested.strip_query.clone(),
            keeps_request_id: suggested.reads_request_id,
        }
    }

    /// The operator's own entries. One that a configured value replaces would say nothing.
    fn forward_headers(&mut self, raw: &RawRoute, key: &str, set: &[&str]) -> Vec<FieldPattern> {
        let Some(list) = &raw.forward_headers else { return Vec::new() };
        if list.get_ref().is_empty() {
            let help = "leave it out: what belongs to the webhook goes to the upstream anyway";
            self.reject(list, key, "the list is empty, which says nothing", help);
        }
        let mut found: Vec<FieldPattern> = Vec::new();
        for entry in list.get_ref() {
            let text = entry.get_ref();
            if set.iter().any(|name| field_list::folds_alike(name, text)) {
                let what = format!(
                    "\"{}\" is set by upstream_headers or sign_with, so the sender's never passes",
                    shown(text)
                );
                self.reject(entry, key, what, "remove one of them");
                continue;
            }
            match field_pattern(text, &found) {
                Ok(pattern) => found.push(pattern),
                Err((what, help)) => self.reject(entry, key, format!("\"{}\" {what}", shown(text)), help),
            }
        }
        found
    }

    /// Secrets that the upstream checks with, as its Standard Webhooks library has them.
    fn sign_with(&mut self, raw: &RawRoute, key: &str) -> Option<UpstreamSigner> {
        const HELP: &str = "write sign_with = [{ file = \"secrets/…\" }]";
        let list = raw.sign_with.as_ref()?;
        if list.get_ref().is_empty() || list.get_ref().len() > UpstreamSigner::MAX_KEYS {
            let what = format!("expected 1 to {} secrets, found {}", UpstreamSigner::MAX_KEYS, list.get_ref().len());
            self.reject(list, key, what, HELP);
            return None;
        }
        let mut secrets = Vec::new();
        for entry in list.get_ref() {
            let RawSecretEntry::Reference(reference) = entry.get_ref() else {
                self.reject(entry, key, "a secret never stands in this file", HELP);
                continue;
            };
            let Some((id, written)) = self.secret(entry, reference, key) else { continue };
            match UpstreamSigner::secret(&written) {
                Ok(secret) => secrets.push(secret),
                Err(why) => self.reject(
                    entry,
                    key,
                    format!("\"{id}\" {why}"),
                    "make one: printf 'whsec_%s\\n' \"$(openssl rand -base64 32)\"",
                ),
            }
            if UpstreamSigner::is_bare_base64(&written) {
                let what = format!("\"{id}\" is taken as it is, and a library would take such a text for base64");
                self.warn(entry, key, what, "put \"whsec_\" before it, or hand the library its raw bytes");
            }
        }
        for (name, _) in raw.upstream_headers.iter().flatten() {
            if UpstreamSigner::FIELDS.iter().any(|field| name.get_ref().eq_ignore_ascii_case(field)) {
                let what = format!("\"{}\" is set by sign_with", name.get_ref());
                self.reject(name, key, what, "remove it from upstream_headers");
            }
        }
        (!secrets.is_empty()).then(|| UpstreamSigner::new(secrets))
    }

    /// For a prefix route, what follows the prefix comes with its slash, so the path's own final slash goes.
    fn upstream_path(&mut self, at: &Spanned<String>, key: &str, path: Option<&PathPattern>) -> Option<String> {
        let text = at.get_ref();
        let good = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'*');
        if !text.starts_with('/') || !text.bytes().all(good) {
            let what = format!("\"{}\" cannot be a path", shown(text));
            let help = "start it with \"/\"; no \"*\", no query: what follows a prefix is appended by itself";
            self.reject(at, key, what, help);
            return None;
        }
        Some(match path {
            Some(PathPattern::Prefix(_)) => text.trim_end_matches('/').to_owned(),
            Some(PathPattern::Exact(_)) | None => text.clone(),
        })
    }

    fn upstream_headers(&mut self, table: Option<&Table<Spanned<RawValue>>>, key: &str) -> Vec<(String, Secret)> {
        let mut headers: Vec<(String, Secret)> = Vec::new();
        for (name, value) in table.into_iter().flatten() {
            let key = join(key, shown(name.get_ref()));
            if !self.header_name(name, &key) {
                continue;
            }
            let is_own = |own: &&str| field_list::folds_alike(own, name.get_ref().as_str());
            let start = name.get_ref().get(..6).unwrap_or_default();
            if OWN.iter().any(is_own) || field_list::folds_alike(start, "relay-") {
                let what = format!("\"{}\" is set by the relay itself, or belongs to the connection", name.get_ref());
                self.reject(name, &key, what, "choose another name");
                continue;
            }
            if headers.iter().any(|(other, _)| field_list::folds_alike(other, name.get_ref())) {
                let what = "this header is listed twice; case and the kind of separator make no difference";
                self.reject(name, &key, what, "remove one");
            }
            let Some(secret) = self.value(value, &key) else { continue };
            if self.header_value(value, secret.expose(), &key) {
                headers.push((name.get_ref().clone(), secret));
            }
        }
        headers
    }

    /// Names and values leave here percent-encoded.
    fn upstream_query(&mut self, table: Option<&Table<Spanned<RawValue>>>, key: &str) -> Vec<(String, Secret)> {
        let mut query = Vec::new();
        for (name, value) in table.into_iter().flatten() {
            let key = join(key, shown(name.get_ref()));
            if name.get_ref().is_empty() {
                self.reject(name, &key, "a parameter must have a name", "write { \"api-key\" = … }");
                continue;
            }
            if let Some(secret) = self.value(value, &key) {
                let name = String::from_utf8_lossy(&percent_encoded(name.get_ref().as_bytes())).into_owned();
                query.push((name, Secret::new(percent_encoded(secret.expose()))));
            }
        }
        query
    }

    fn value(&mut self, value: &Spanned<RawValue>, key: &str) -> Option<Secret> {
        match value.get_ref() {
            RawValue::Text(text) => Some(Secret::new(text.as_bytes().to_vec())),
            RawValue::Secret(reference) => self.secret(value, reference, key).map(|(_, secret)| secret),
        }
    }
}

/// Everything but RFC 3986's unreserved characters. Written into room for the worst case, so that no half-grown copy of
/// a secret stays behind.
fn percent_encoded(bytes: &[u8]) -> Vec<u8> {
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let mut out = Vec::with_capacity(bytes.len() * 3);
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(*byte);
        } else {
            out.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(percent_encoded("aZ0-._~".as_bytes()), b"aZ0-._~");
        assert_eq!(percent_encoded("a b&c=é/%".as_bytes()), b"a%20b%26c%3D%C3%A9%2F%25");
        assert_eq!(percent_encoded(&[0, 255]), b"%00%FF");
    }
}
