//! TLS toward internal servers, checked once and then only pointed to.
//!
//! Three habits of pingora-core 0.9.1 are guarded against here. It skips verification altogether when the server name is
//! empty, so an empty name never leaves this file. It verifies another name than the one given when the first label has an
//! underscore, so such a name does not leave it either. And it panics on certificates and keys that it cannot parse, so each is
//! parsed before pingora sees it; a bad one makes a server unusable with a reason instead.

use std::sync::Arc;

use pingora_core::protocols::tls::CaType;
use pingora_core::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::spec::{Http2, TlsSpec};

/// What every connection of one upstream shares.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) ca: Option<Arc<CaType>>,
    pub(super) client: Option<Arc<CertKey>>,
}

impl Credentials {
    pub(super) fn parse(spec: Option<&TlsSpec>) -> Result<Self, String> {
        let Some(spec) = spec else { return Ok(Self { ca: None, client: None }) };
        let ca = if spec.ca_der.is_empty() {
            None
        } else {
            for der in &spec.ca_der {
                certificate(der, "CA certificate")?;
            }
            let parsed: Vec<_> = spec.ca_der.iter().map(|der| WrappedX509::new(der.clone(), parse_x509)).collect();
            Some(Arc::from(parsed))
        };
        let client = match &spec.client {
            None => None,
            Some((chain, _)) if chain.is_empty() => return Err("the client certificate chain is empty".into()),
            Some((chain, key)) => {
                for der in chain {
                    certificate(der, "client certificate")?;
                }
                PrivateKeyDer::try_from(key.expose()).map_err(|_| "the client key is not a key in DER")?;
                Some(Arc::new(CertKey::new(chain.clone(), key.expose().to_vec())))
            }
        };
        Ok(Self { ca, client })
    }
}

fn certificate(der: &[u8], what: &str) -> Result<(), String> {
    match X509Certificate::from_der(der) {
        Ok(([], _)) => Ok(()),
        Ok(_) => Err(format!("a {what} is followed by other bytes")),
        Err(_) => Err(format!("a {what} is not X.509 in DER")),
    }
}

/// The name that the server's certificate must carry: never empty, always one that rustls will verify.
pub(super) fn server_name(host: &str, spec: Option<&TlsSpec>) -> Result<String, String> {
    let name = spec.and_then(|tls| tls.server_name.as_deref()).unwrap_or(host);
    match unverifiable(name) {
        None => Ok(name.to_owned()),
        Some(why) => Err(format!("the server name cannot be verified: {why}")),
    }
}

/// Why no certificate can prove this name to us; for servers, and for whoever configures one.
pub fn unverifiable(name: &str) -> Option<&'static str> {
    if name.is_empty() || ServerName::try_from(name).is_err() {
        return Some("it is neither a DNS name nor an address");
    }
    // pingora would verify a hyphen instead where two labels follow; and no host name has one (RFC 1123), so that other clients
    // and most authorities refuse the shorter ones.
    let first = name.split_once('.').map_or(name, |(first, _)| first);
    first.contains('_').then_some("an underscore in its first label is in no name that TLS can verify")
}

/// Keeps the connections of differently configured upstreams apart in the one pool, since pingora's own key knows neither
/// the CA nor the protocol: what was verified against one CA must not serve an upstream that trusts another.
///
/// The private key is not part of it: the certificate names its public half.
pub(super) fn group_key(upstream: &str, http2: Http2, spec: Option<&TlsSpec>) -> u64 {
    let mut hash = Sha256::new();
    let mut put = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    put(upstream.as_bytes());
    put(&[http2 as u8, u8::from(spec.is_some())]);
    if let Some(spec) = spec {
        put(spec.server_name.as_deref().unwrap_or_default().as_bytes());
        put(&(spec.ca_der.len() as u64).to_be_bytes());
        spec.ca_der.iter().for_each(|der| put(der));
        if let Some((chain, _)) = &spec.client {
            chain.iter().for_each(|der| put(der));
        }
    }
    let digest: [u8; 32] = hash.finalize().into();
    let (head, _) = digest.split_at(8);
    head.iter().fold(0, |key, byte| (key << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;

    fn tls() -> TlsSpec {
        TlsSpec { ca_der: Vec::new(), client: None, server_name: None }
    }

    fn certified() -> (Vec<u8>, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(["inside".to_owned()]).unwrap();
        (made.cert.der().to_vec(), made.signing_key.serialize_der())
    }

    #[test]
    fn an_empty_server_name_is_refused_wherever_it_comes_from() {
        assert!(server_name("", None).is_err());
        assert!(server_name("inside", Some(&TlsSpec { server_name: Some(String::new()), ..tls() })).is_err());
        assert!(server_name("a b", None).is_err());
        for name in ["my_app.inside.example", "my_app.internal", "my_app"] {
            assert!(server_name(name, None).is_err(), "{name}");
        }
        assert!(server_name("my-app.in_side.example", None).is_ok());
        assert_eq!(server_name("10.0.0.1", None).unwrap(), "10.0.0.1");
        assert_eq!(server_name("::1", None).unwrap(), "::1");
        assert_eq!(server_name("10.0.0.1", Some(&TlsSpec { server_name: Some("in".into()), ..tls() })).unwrap(), "in");
    }

    #[test]
    fn material_that_pingora_would_panic_on_is_refused() {
        let (cert, key) = certified();
        let with =
            |chain: Vec<Vec<u8>>, key: &[u8]| TlsSpec { client: Some((chain, Secret::new(key.to_vec()))), ..tls() };
        let said = |spec: TlsSpec| Credentials::parse(Some(&spec)).err().unwrap();
        assert!(said(TlsSpec { ca_der: vec![b"junk".to_vec()], ..tls() }).contains("not X.509"));
        assert!(said(TlsSpec { ca_der: vec![Vec::new()], ..tls() }).contains("not X.509"));
        assert!(said(with(Vec::new(), &key)).contains("empty"));
        assert!(said(with(vec![b"junk".to_vec()], &key)).contains("not X.509"));
        assert!(said(with(vec![[cert.clone(), vec![0]].concat()], &key)).contains("followed"));
        assert!(said(with(vec![cert.clone()], b"junk")).contains("not a key"));
        assert!(Credentials::parse(Some(&with(vec![cert], &key))).is_ok());
    }

    #[test]
    fn every_difference_in_tls_settings_gives_another_group() {
        let (cert, key) = certified();
        let variants = [
            None,
            Some(tls()),
            Some(TlsSpec { ca_der: vec![cert.clone()], ..tls() }),
            Some(TlsSpec { ca_der: vec![cert.clone(), cert.clone()], ..tls() }),
            Some(TlsSpec { client: Some((vec![cert], Secret::new(key))), ..tls() }),
            Some(TlsSpec { server_name: Some("other".into()), ..tls() }),
        ];
        let mut keys: Vec<u64> = variants.iter().map(|spec| group_key("crm", Http2::Auto, spec.as_ref())).collect();
        keys.push(group_key("crm", Http2::Only, None));
        keys.push(group_key("erp", Http2::Auto, None));
        let total = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), total);
    }
}
