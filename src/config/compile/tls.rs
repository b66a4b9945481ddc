//! Certificates and keys, checked before a swap: a listener never serves a chain that its clients must refuse.

mod chain;
mod resolver;
mod revocation;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, NamedGroup, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use toml::Spanned;

use self::chain::{Chain, no_authority};
use self::resolver::Resolver;
use self::revocation::Revocation;
use super::Compiler;
use super::values::{join, shown};
use crate::base::Secret;
use crate::config::raw::{RawCertificate, RawClientAuth, RawTls, RawUpstreamTls, RawValue};
use crate::config::source::SourceError;
use crate::runtime::snapshot::{ListenerTls, ServedCertificate};
use crate::upstream::spec::TlsSpec;
use crate::upstream::unverifiable;

const SHAPE: &str = "write certificates = [{ chain = \"certs/relay.crt\", key = \"certs/relay.key\" }]";

const CERTIFICATE_FOR_KEY: &str = "it holds a certificate and no private key";
const SWAPPED: &str = "the two files are swapped: chain names the certificates, key the private key";

/// A chain with its key, and what must be known of it.
struct Certified {
    key: Arc<CertifiedKey>,
    served: ServedCertificate,
}

/// Who must show a certificate, and the authorities that vouch for it.
struct ClientAuth {
    roots: RootCertStore,
    required: bool,
    revocation: Revocation,
    /// Of the policy. A ticket from one policy must not open a session under another.
    digest: [u8; 32],
}

impl Compiler<'_> {
    pub(super) fn listener_tls(&mut self, raw: &Spanned<RawTls>, key: &str) -> Option<ListenerTls> {
        let fields = raw.get_ref();
        let versions: [(&str, &[&rustls::SupportedProtocolVersion]); 2] =
            [("1.2", &[&rustls::version::TLS13, &rustls::version::TLS12]), ("1.3", &[&rustls::version::TLS13])];
        let [oldest, _] = versions;
        let versions = self.word(&fields.min_version, &join(key, "min_version"), &versions, oldest.1);
        let auth_key = join(key, "client_auth");
        let auth = fields.client_auth.as_ref().map(|auth| self.client_auth(auth, &auth_key));
        let key = join(key, "certificates");
        let list = self.required(&fields.certificates, raw, &key, SHAPE)?;
        if list.get_ref().is_empty() {
            self.reject(list, &key, "the list is empty", SHAPE);
        }
        let before = self.problems.len();
        let certified: Vec<Certified> =
            list.get_ref().iter().filter_map(|entry| self.certificate(entry, &key)).collect();
        // What is missing has been reported above.
        if self.problems.len() != before || certified.is_empty() || matches!(auth, Some(None)) {
            return None;
        }
        match server_config(self, versions, auth.flatten(), &certified) {
            Ok(server) => {
                let certificates = certified.into_iter().map(|certified| certified.served).collect();
                Some(ListenerTls { server: Arc::new(server), certificates })
            }
            Err(error) => {
                self.reject(raw, &key, format!("cannot be used: {error}"), "check the certificates and client_auth");
                None
            }
        }
    }

    fn certificate(&mut self, entry: &Spanned<RawCertificate>, key: &str) -> Option<Certified> {
        let raw = entry.get_ref();
        let chain_at = self.required(&raw.chain, entry, &join(key, "chain"), SHAPE);
        let key_at = self.required(&raw.key, entry, &join(key, "key"), SHAPE);
        let chain = chain_at.and_then(|at| self.chain(at, &join(key, "chain")));
        let private = key_at.and_then(|at| self.private_key(at, &join(key, "key")));
        let (chain, (_, private), chain_at, key_at) = (chain?, private?, chain_at?, key_at?);
        let certified = self.pair(&chain, private, key_at, &join(key, "key"))?;
        let key = join(key, "chain");
        if chain.names.is_empty() {
            let what = "the certificate has no name (SAN), so every client refuses it";
            self.reject(chain_at, &key, what, "issue it again with a DNS name in the subject alternative name");
        }
        let served = ServedCertificate { names: chain.names, lifetime: chain.lifetime };
        Some(Certified { key: certified, served })
    }

    /// A chain that parses, is in order and is valid now.
    fn chain(&mut self, at: &Spanned<String>, key: &str) -> Option<Chain> {
        let pem = match self.sources.certificates(at.get_ref()) {
            Ok(pem) => pem,
            Err(error) => {
                self.unusable(at, key, &error);
                return None;
            }
        };
        let chain = match Chain::parse(&pem) {
            Ok(chain) => chain,
            Err(why) => {
                self.reject(at, key, format!("{}: {why}", shown(at.get_ref())), why.help());
                return None;
            }
        };
        match chain.validity(self.now) {
            Ok(None) => {}
            Ok(Some(ending)) => self.warn(at, key, ending.to_string(), "renew it and reload"),
            // What is served already, or from the start on, is no worse for a reload: a new `deny` must not wait for it. In the
            // place of one that is served it is a mistake.
            Err(why) if self.state.certificates.would_replace(&chain.digest()) => {
                self.reject(at, key, why.to_string(), format!("{}; what was served until now goes on", why.help()));
            }
            Err(why) => self.warn(at, key, why.to_string(), why.help()),
        }
        self.leaves.push(chain.digest());
        Some(chain)
    }

    /// A private key: a path, or a secret. DER, and its wrapping type.
    fn private_key(&mut self, at: &Spanned<RawValue>, key: &str) -> Option<(Secret, PrivateKeyDer<'static>)> {
        let pem = match at.get_ref() {
            RawValue::Text(path) => match self.sources.secret_file(path) {
                Ok(pem) => pem,
                Err(_) if self.sources.gaps() => return None,
                // Certificates may be read by everybody, so this comes before any word about the mode.
                Err(SourceError::WorldReadable { .. }) if self.is_chain(path) => {
                    self.reject(at, key, CERTIFICATE_FOR_KEY, SWAPPED);
                    return None;
                }
                Err(error) => {
                    self.unusable(at, key, &error);
                    return None;
                }
            },
            RawValue::Secret(reference) => {
                let (id, pem) = self.secret(at, reference, key)?;
                if self.left_out(&id) {
                    return None;
                }
                pem
            }
        };
        match PrivateKeyDer::from_pem_slice(pem.expose()) {
            Ok(der) => Some((Secret::new(der.secret_der().to_vec()), der)),
            Err(_) if CertificateDer::from_pem_slice(pem.expose()).is_ok() => {
                self.reject(at, key, CERTIFICATE_FOR_KEY, SWAPPED);
                None
            }
            Err(_) => {
                let what = "there is no private key in PEM form (PKCS#8, PKCS#1 or SEC1) in it";
                self.reject(at, key, what, "an encrypted key must be decrypted first: openssl pkey -in … -out …");
                None
            }
        }
    }

    /// Whether a file that was named as a key holds certificates and no key.
    fn is_chain(&mut self, path: &str) -> bool {
        self.sources.certificates(path).is_ok_and(|pem| {
            CertificateDer::from_pem_slice(&pem).is_ok() && PrivateKeyDer::from_pem_slice(&pem).is_err()
        })
    }

    /// The chain's leaf and the key belong together.
    fn pair(
        &mut self,
        chain: &Chain,
        private: PrivateKeyDer<'static>,
        at: &Spanned<RawValue>,
        key: &str,
    ) -> Option<Arc<CertifiedKey>> {
        let Ok(signing) = aws_lc_rs::sign::any_supported_type(&private) else {
            let what = "the key is of a kind that TLS here does not speak";
            self.reject(at, key, what, "use RSA (2048 bits or more), ECDSA P-256, P-384 or P-521, or Ed25519");
            return None;
        };
        let certified = CertifiedKey::new(chain.der.clone(), signing);
        if certified.keys_match().is_err() {
            let what = "the key does not belong to the first certificate of the chain";
            self.reject(
                at,
                key,
                what,
                "the leaf stands first in the chain file; put the key beside it that it was issued for",
            );
            return None;
        }
        Some(Arc::new(certified))
    }

    fn client_auth(&mut self, raw: &Spanned<RawClientAuth>, key: &str) -> Option<ClientAuth> {
        let required = raw.get_ref().required.unwrap_or(true);
        let auth = key;
        let key = join(key, "ca");
        let at = self.required(&raw.get_ref().ca, raw, &key, "write ca = \"certs/senders-ca.crt\"")?;
        let authorities = self.authorities(at, &key)?;
        let revocation = self.revocation(raw, &authorities, auth)?;
        let mut digest = Sha256::new_with_prefix([u8::from(required)]);
        let mut roots = RootCertStore::empty();
        for der in authorities {
            digest.update((der.len() as u64).to_be_bytes());
            digest.update(&der);
            if let Err(error) = roots.add(CertificateDer::from(der)) {
                self.reject(at, &key, format!("a certificate cannot be an authority: {error}"), "remove it");
                return None;
            }
        }
        revocation.digest(&mut digest);
        Some(ClientAuth { roots, required, revocation, digest: digest.finalize().into() })
    }

    /// A bundle of authorities, as DER.
    fn authorities(&mut self, at: &Spanned<String>, key: &str) -> Option<Vec<Vec<u8>>> {
        let pem = match self.sources.certificates(at.get_ref()) {
            Ok(pem) => pem,
            Err(error) => {
                self.unusable(at, key, &error);
                return None;
            }
        };
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let read = read.unwrap_or_default();
        if read.is_empty() {
            let file = shown(at.get_ref());
            let (what, help) = if PrivateKeyDer::from_pem_slice(&pem).is_ok() {
                (
                    "holds a private key and no certificate",
                    "name the authority's certificate; nobody needs its key here",
                )
            } else {
                ("holds no certificate in PEM form", "convert it: openssl x509 -inform der -in … -out …")
            };
            self.reject(at, key, format!("{file} {what}"), help);
            return None;
        }
        let mut roots = RootCertStore::empty();
        for (number, der) in (1..).zip(&read) {
            if let Err(error) = roots.add(der.clone()) {
                let what = format!("certificate {number} of {} is not usable: {error}", shown(at.get_ref()));
                self.reject(at, key, what, "issue it again, or remove it");
                return None;
            }
            if let Some((what, help)) = no_authority(der) {
                self.warn(at, key, format!("certificate {number} of {} {what}", shown(at.get_ref())), help);
            }
        }
        Some(read.into_iter().map(|der| der.to_vec()).collect())
    }

    pub(super) fn upstream_tls(&mut self, raw: &Spanned<RawUpstreamTls>, key: &str) -> Option<TlsSpec> {
        let fields = raw.get_ref();
        let ca = fields.ca.as_ref().map(|at| self.authorities(at, &join(key, "ca")));
        let client = match (&fields.client_cert, &fields.client_key) {
            (None, None) => None,
            (Some(chain), Some(private)) => Some(self.client_pair(chain, private, key)),
            (Some(at), None) => {
                self.reject(at, &join(key, "client_key"), "is missing beside client_cert", "name the key's file");
                Some(None)
            }
            (None, Some(at)) => {
                self.reject(at, &join(key, "client_cert"), "is missing beside client_key", "name the chain's file");
                Some(None)
            }
        };
        if let Some(name) = &fields.server_name
            && let Some(why) = unverifiable(name.get_ref())
        {
            let what = format!("\"{}\" can never be verified: {why}", shown(name.get_ref()));
            self.reject(name, &join(key, "server_name"), what, "write the name in the servers' certificate");
        }
        let server_name = fields.server_name.as_ref().map(|name| name.get_ref().clone());
        // An inner `None` has been reported.
        let ca_der = ca.map_or(Some(Vec::new()), |read| read)?;
        let client = client.filter(|read| read.is_some() || self.gaps.is_empty() && !self.sources.gaps());
        let client = client.map_or(Some(None), |read| read.map(Some))?;
        Some(TlsSpec { ca_der, client, server_name })
    }

    fn client_pair(
        &mut self,
        chain_at: &Spanned<String>,
        key_at: &Spanned<RawValue>,
        key: &str,
    ) -> Option<(Vec<Vec<u8>>, Secret)> {
        let chain = self.chain(chain_at, &join(key, "client_cert"));
        let private = self.private_key(key_at, &join(key, "client_key"));
        let (chain, (der, private)) = (chain?, private?);
        self.pair(&chain, private, key_at, &join(key, "client_key"))?;
        Some((chain.der.iter().map(|cert| cert.to_vec()).collect(), der))
    }
}

/// What rustls speaks: AEAD with ephemeral elliptic curves, and nothing else. AES-128 comes first, which OpenSSL's clients
/// have behind AES-256: its key schedule is of SHA-256, which processors do in hardware, and that of AES-256 is of SHA-384,
/// which most do not. A handshake is a tenth cheaper by it (`docs/performance.md`).
///
/// X25519MLKEM768 comes first for whoever offers it: what is recorded today stays secret when X25519 can be broken.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let is_aes_128 = |suite: CipherSuite| {
        matches!(
            suite,
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    };
    provider.cipher_suites.sort_by_key(|suite| !is_aes_128(suite.suite()));
    provider.kx_groups.sort_by_key(|group| group.name() != NamedGroup::X25519MLKEM768);
    provider
}

fn server_config(
    compiler: &Compiler<'_>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    auth: Option<ClientAuth>,
    certified: &[Certified],
) -> Result<rustls::ServerConfig, rustls::Error> {
    let provider = Arc::new(provider());
    let policy = auth.as_ref().map_or([0; 32], |auth| auth.digest);
    let builder =
        rustls::ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions)?;
    let builder = match auth {
        None => builder.with_no_client_auth(),
        Some(ClientAuth { roots, required, revocation, .. }) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
            let verifier = revocation.verifier(verifier).map_err(|error| rustls::Error::General(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let resolver = Resolver::new(certified.iter().map(|one| (Arc::clone(&one.key), one.served.names.as_slice())));
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    // See `provider`. rustls has no order that a client's preference for ChaCha20 overrides; senders are servers, and have AES.
    config.ignore_client_order = true;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Tickets hold the session, so nothing is kept here; 0-RTT could be replayed, so it is never accepted.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = compiler.state.ticketer(policy)?;
    config.send_tls13_tickets = 1;
    config.max_early_data_size = 0;
    Ok(config)
}
