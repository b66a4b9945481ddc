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
    all: Vec<Arc<CertifiedKey>>,
}

impl Resolver {
    pub(super) fn new<'n>(certificates: impl Iterator<Item = (Arc<CertifiedKey>, &'n [String])>) -> Self {
        let mut resolver = Self { exact: HashMap::new(), wildcard: HashMap::new(), all: Vec::new() };
        for (key, names) in certificates {
            for name in names {
                let (table, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut resolver.wildcard, parent),
                    None => (&mut resolver.exact, name.as_str()),
                };
                table.entry(name.into()).or_default().push(Arc::clone(&key));
            }
            resolver.all.push(key);
        }
        resolver
    }

    /// `name` is in lower case, as rustls gives it.
    fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let exact = name.and_then(|name| self.exact.get(name));
        let wildcard = name.and_then(|name| self.wildcard.get(name.split_once('.')?.1));
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        [exact, wildcard, Some(&self.all)].into_iter().flatten().find_map(|keys| keys.iter().find(fits)).cloned()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name(), hello.signature_schemes())
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls_pki_types::PrivateKeyDer;

    use super::*;

    fn certificate(names: &[&str]) -> (Arc<CertifiedKey>, Vec<String>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names.clone()).expect("makes one");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let key = any_supported_type(&key).expect("a supported key");
        (Arc::new(CertifiedKey::new(vec![made.cert.der().clone()], key)), names)
    }

    #[test]
    fn exact_then_wildcard_then_first() {
        let made = [
            certificate(&["first.example"]),
            certificate(&["*.wild.example"]),
            certificate(&["exact.wild.example", "other.example"]),
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
        assert!(resolver.find(None, &[SignatureScheme::RSA_PSS_SHA256]).is_none());
    }
}
