//! SNI to certificate: the exact name, then a wildcard for its parent, then the first certificate of the file.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Every certificate of one listener. A name may have several, for instance one RSA and one ECDSA: the first that the
/// client can check is served.
#[derive(Debug)]
pub(super) struct Resolver {
    exact: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// For every other name, and for none: the first of the file, and those that carry its first name too.
    first: Vec<Arc<CertifiedKey>>,
}

impl Resolver {
    pub(super) fn new<'n>(certificates: impl Iterator<Item = (Arc<CertifiedKey>, &'n [String])>) -> Self {
        let mut resolver = Self { exact: HashMap::new(), wildcard: HashMap::new(), first: Vec::new() };
        let mut first_name = None;
        for (key, names) in certificates {
            for name in names {
                let (table, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut resolver.wildcard, parent),
                    None => (&mut resolver.exact, name.as_str()),
                };
                table.entry(name.into()).or_default().push(Arc::clone(&key));
            }
            let is_first = resolver.first.is_empty();
            if is_first {
                first_name = names.first();
            }
            if is_first || first_name.is_some_and(|first| names.contains(first)) {
                resolver.first.push(key);
            }
        }
        resolver
    }

    /// `name` is in lower case, as rustls gives it.
    ///
    /// A client that can check none of those that have its name is given one all the same. rustls finds out by itself, and
    /// says `handshake_failure`; of no certificate at all it would make `access_denied` (RFC 8446 section 6.2: a valid
    /// certificate was shown and is not enough), which some clients and scanners take for another fault than theirs.
    /// One of another name would be no better: the client would have to refuse it, and another tenant's had been shown.
    fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let exact = name.and_then(|name| self.exact.get(name));
        let wildcard = name.and_then(|name| self.wildcard.get(name.split_once('.')?.1));
        let named = exact.into_iter().chain(wildcard);
        let mut candidates = named.chain((exact.is_none() && wildcard.is_none()).then_some(&self.first)).flatten();
        let best = candidates.clone().find(|key| key.key.choose_scheme(schemes).is_some());
        best.or_else(|| candidates.next()).cloned()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name(), hello.signature_schemes())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SignatureAlgorithm,
    };
    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls_pki_types::PrivateKeyDer;

    use super::*;

    fn certificate(names: &[&str], algorithm: &'static SignatureAlgorithm) -> (Arc<CertifiedKey>, Vec<String>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate_for(algorithm).expect("makes one");
        let params = CertificateParams::new(names.clone()).expect("names");
        let chain = vec![params.self_signed(&key).expect("makes one").der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        (Arc::new(CertifiedKey::new(chain, any_supported_type(&key).expect("a supported key"))), names)
    }

    #[test]
    fn exact_then_wildcard_then_first() {
        let made = [
            certificate(&["first.example"], &PKCS_ECDSA_P256_SHA256),
            certificate(&["*.wild.example"], &PKCS_ECDSA_P256_SHA256),
            certificate(&["exact.wild.example", "other.example"], &PKCS_ECDSA_P256_SHA256),
        ];
        let resolver = Resolver::new(made.iter().map(|(key, names)| (Arc::clone(key), names.as_slice())));
        let which = |name: Option<&str>| {
            let found = resolver.find(name, &[SignatureScheme::ECDSA_NISTP256_SHA256])?;
            made.iter().position(|(key, _)| Arc::ptr_eq(key, &found))
        };
        assert_eq!(which(Some("first.example")), Some(0));
        assert_eq!(which(Some("a.wild.example")), Some(1));
        assert_eq!(which(Some("exact.wild.example")), Some(2));
        assert_eq!(which(Some("other.example")), Some(2));
        // A wildcard stands for one label, neither more nor none.
        assert_eq!(which(Some("a.b.wild.example")), Some(0));
        assert_eq!(which(Some("wild.example")), Some(0));
        assert_eq!(which(Some("unknown.example")), Some(0));
        assert_eq!(which(None), Some(0));
    }

    #[test]
    fn the_first_that_the_client_can_check_and_never_one_of_another_name() {
        let made = [
            certificate(&["a.example"], &PKCS_ECDSA_P256_SHA256),
            certificate(&["b.example"], &PKCS_ED25519),
            certificate(&["also.example", "a.example"], &PKCS_ED25519),
            certificate(&["*.example"], &PKCS_ECDSA_P384_SHA384),
        ];
        let resolver = Resolver::new(made.iter().map(|(key, names)| (Arc::clone(key), names.as_slice())));
        let which = |name: Option<&str>, scheme| {
            let found = resolver.find(name, &[scheme])?;
            made.iter().position(|(key, _)| Arc::ptr_eq(key, &found))
        };
        let (p256, p384) = (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ECDSA_NISTP384_SHA384);
        for name in [Some("a.example"), Some("a.other"), None] {
            assert_eq!(which(name, p256), Some(0), "{name:?}");
            assert_eq!(which(name, SignatureScheme::ED25519), Some(2), "{name:?}");
        }
        // The wildcard speaks for the name too.
        assert_eq!(which(Some("a.example"), p384), Some(3));
        assert_eq!(which(Some("b.example"), p384), Some(3));
        // Nothing fits: one of the name's own, of which rustls says that it does not fit.
        assert_eq!(which(Some("b.example"), SignatureScheme::RSA_PSS_SHA256), Some(1));
        assert_eq!(which(Some("a.other"), p384), Some(0));
        assert_eq!(which(None, SignatureScheme::RSA_PSS_SHA256), Some(0));
    }
}
