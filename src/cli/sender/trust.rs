//! Whom a sender believes to be the relay.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// Whom a sender believes to be the relay.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

/// Why there is nobody to believe.
#[derive(Debug)]
pub enum TrustProblem {
    /// The file cannot be read, or holds no certificate.
    File(PathBuf, String),
    /// The system has no authorities.
    NoAuthorities(String),
    /// The TLS library does not take it.
    Tls(Error),
}

impl fmt::Display for TrustProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, why) => write!(f, "{}: {why}", path.display()),
            Self::NoAuthorities(why) => write!(f, "the system's certificate authorities: {why}"),
            Self::Tls(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for TrustProblem {}

impl Trust {
    /// The authorities in a PEM file.
    pub fn authorities(file: &Path) -> Result<Self, TrustProblem> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(TrustProblem::Tls)?;
        }
        Self::roots(roots)
    }

    /// The authorities of the system.
    pub fn system() -> Result<Self, TrustProblem> {
        let found = rustls_native_certs::load_native_certs();
        let found = found.map_err(|error: io::Error| TrustProblem::NoAuthorities(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found);
        if added == 0 { Err(TrustProblem::NoAuthorities("there are none".to_owned())) } else { Self::roots(roots) }
    }

    /// These leaf certificates and no others, whoever signed them and whatever names they carry: for a relay whose
    /// configuration is at hand.
    pub fn pinned(files: &[PathBuf]) -> Result<Self, TrustProblem> {
        let mut leaves = Vec::new();
        for file in files {
            // The first of a chain is the leaf.
            leaves.extend(certificates(file)?.into_iter().next());
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Pinned { leaves, algorithms: provider.signature_verification_algorithms };
        let builder = builder(provider)?.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        Ok(Self::finish(builder.with_no_client_auth()))
    }

    /// Shows this certificate to a relay that asks for one.
    pub fn with_identity(self, chain: &Path, key: &Path) -> Result<Self, TrustProblem> {
        let odd = |error: rustls_pki_types::pem::Error| TrustProblem::File(key.to_path_buf(), error.to_string());
        let key = PrivateKeyDer::from_pem_file(key).map_err(odd)?;
        let provider = aws_lc_rs::default_provider();
        let identity = CertifiedKey::from_der(certificates(chain)?, key, &provider).map_err(TrustProblem::Tls)?;
        let mut config = ClientConfig::clone(&self.0);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(identity));
        Ok(Self(Arc::new(config)))
    }

    fn roots(roots: RootCertStore) -> Result<Self, TrustProblem> {
        let builder = builder(Arc::new(aws_lc_rs::default_provider()))?.with_root_certificates(roots);
        Ok(Self::finish(builder.with_no_client_auth()))
    }

    fn finish(mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }

    pub(super) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

fn builder(
    provider: Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, TrustProblem> {
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(TrustProblem::Tls)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TrustProblem> {
    let odd = |why: String| TrustProblem::File(file.to_path_buf(), why);
    let text = std::fs::read(file).map_err(|error| odd(error.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| odd(error.to_string()))?;
    if found.is_empty() { Err(odd("holds no certificate".to_owned())) } else { Ok(found) }
}

/// The peer must show one of these and prove that it has its key.
#[derive(Debug)]
struct Pinned {
    leaves: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.leaves.iter().any(|known| known.as_ref() == leaf.as_ref()) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
