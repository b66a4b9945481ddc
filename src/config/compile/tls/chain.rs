//! A certificate chain from PEM: parsed, in order, with the names and dates of its leaf.

use std::fmt;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};

use sha2::{Digest as _, Sha256};

use crate::base::UnixMillis;
use crate::domain::lifetime::in_words;
use crate::domain::{Lifetime, Phase};

/// Longer chains are a mistake, and a handshake would carry them each time.
const LONGEST: usize = 10;

/// Leaf first.
pub(super) struct Chain {
    pub(super) der: Vec<CertificateDer<'static>>,
    /// Of the leaf's SAN: DNS names in lower case, addresses.
    pub(super) names: Vec<String>,
    /// Of the leaf.
    pub(super) lifetime: Lifetime,
}

/// Why a file is not a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    NotPem,
    None,
    /// A private key stands in its place.
    Key,
    /// Of the first version of X.509, which TLS does not take.
    Version1(usize),
    TooLong,
    Unreadable(usize),
    OutOfOrder(usize),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPem => f.write_str("it is not whole PEM"),
            Self::None => f.write_str("there is no certificate in PEM form in it"),
            Self::Key => f.write_str("it holds a private key and no certificate"),
            Self::Version1(number) => {
                write!(f, "certificate {number} is of X.509 version 1, which no TLS client takes for a server")
            }
            Self::TooLong => write!(f, "more than {LONGEST} certificates are not a chain"),
            Self::Unreadable(number) => write!(f, "certificate {number} cannot be read"),
            Self::OutOfOrder(number) => {
                write!(f, "certificate {number} was not issued by certificate {}", number + 1)
            }
        }
    }
}

impl Broken {
    pub(super) fn help(self) -> &'static str {
        match self {
            Self::NotPem | Self::None => "each certificate stands between BEGIN CERTIFICATE and END CERTIFICATE lines",
            Self::Key => "the two files are swapped: chain names the certificates, key the private key",
            Self::Version1(_) => {
                "have it issued as version 3; one of its own: openssl req -x509 -new -key KEY -noenc -subj /CN=NAME -addext \
                 subjectAltName=DNS:NAME -days 365 -out CHAIN"
            }
            Self::TooLong => "leaf first, then its issuers; authorities in general do not belong here",
            Self::Unreadable(_) => "look at it with: openssl x509 -text -in …",
            Self::OutOfOrder(_) => "order the file: leaf, then the certificate that issued it, and so on",
        }
    }
}

/// Why a leaf cannot be served at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untimely {
    Expired(i64),
    NotYet(i64),
}

impl fmt::Display for Untimely {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(at) => write!(f, "the certificate expired on {}", UnixMillis::from_secs(*at)),
            Self::NotYet(at) => write!(f, "the certificate is not valid before {}", UnixMillis::from_secs(*at)),
        }
    }
}

impl Untimely {
    pub(super) fn help(self) -> &'static str {
        match self {
            Self::Expired(_) => "every client refuses it: renew it and reload",
            Self::NotYet(_) => "every client refuses it until then: check this host's clock",
        }
    }
}

/// A leaf in the last third of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// Seconds.
    left: i64,
    at: i64,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (left, at) = (in_words(self.left), UnixMillis::from_secs(self.at));
        write!(f, "the certificate is in the last third of its life and expires in {left}, on {at}")
    }
}

impl Chain {
    pub(super) fn parse(pem: &[u8]) -> Result<Self, Broken> {
        let der: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let der = der.map_err(|_| Broken::NotPem)?;
        if der.is_empty() && PrivateKeyDer::from_pem_slice(pem).is_ok() {
            return Err(Broken::Key);
        }
        if der.len() > LONGEST {
            return Err(Broken::TooLong);
        }
        let mut parsed = Vec::with_capacity(der.len());
        for (number, one) in (1..).zip(&der) {
            parsed.push(X509Certificate::from_der(one).map_err(|_| Broken::Unreadable(number))?.1);
        }
        for (number, pair) in (1..).zip(parsed.windows(2)) {
            if let [issued, issuer] = pair
                && issued.issuer().as_raw() != issuer.subject().as_raw()
            {
                return Err(Broken::OutOfOrder(number));
            }
        }
        let leaf = parsed.first().ok_or(Broken::None)?;
        if leaf.version() != X509Version::V3 {
            return Err(Broken::Version1(1));
        }
        let names = names(leaf).ok_or(Broken::Unreadable(1))?;
        let validity = leaf.validity();
        let lifetime =
            Lifetime { not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() };
        drop(parsed);
        Ok(Self { der, names, lifetime })
    }

    /// Which leaf it is.
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.der.first().map_or(&[][..], |leaf| leaf)).into()
    }

    /// Whether the leaf is valid now, and whether it should have been renewed.
    pub(super) fn validity(&self, now: UnixMillis) -> Result<Option<Ending>, Untimely> {
        let (lifetime, now) = (self.lifetime, now.secs());
        match lifetime.phase(now) {
            Phase::Expired => Err(Untimely::Expired(lifetime.not_after)),
            Phase::NotYet => Err(Untimely::NotYet(lifetime.not_before)),
            Phase::LastThird => Ok(Some(Ending { left: lifetime.left(now), at: lifetime.not_after })),
            Phase::Good => Ok(None),
        }
    }
}

/// Why a certificate given as an authority vouches for nobody, or not for whom its owner may think.
pub(super) fn no_authority(der: &[u8]) -> Option<(&'static str, &'static str)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    // The first version knows no authorities apart from others.
    if certificate.version() != X509Version::V3 {
        return None;
    }
    let is_authority = certificate.basic_constraints().ok()?.is_some_and(|constraints| constraints.value.ca);
    let is_self_signed = certificate.issuer().as_raw() == certificate.subject().as_raw();
    let has_names = names(&certificate).is_some_and(|names| !names.is_empty());
    match (is_authority, is_self_signed) {
        (false, false) => Some((
            "is no authority: it is a certificate that an authority issued",
            "ca names the certificate of the authority that issued it",
        )),
        (false, true) => Some((
            "is no authority but a server's own self-signed certificate: it vouches for itself alone, and a renewed one is refused",
            "make an authority of your own and issue the server's certificate by it",
        )),
        (true, true) if has_names => Some((
            "is an authority with a server's names in it: TLS refuses a server that shows this very certificate as its own",
            "where it is the server's self-signed certificate, issue it again without CA:TRUE, or issue another by it",
        )),
        (true, _) => None,
    }
}

/// `None`: the SAN itself cannot be read.
fn names(leaf: &X509Certificate<'_>) -> Option<Vec<String>> {
    let Some(san) = leaf.subject_alternative_name().ok()? else { return Some(Vec::new()) };
    let mut names = Vec::new();
    for name in &san.value.general_names {
        match name {
            GeneralName::DNSName(dns) => names.push(dns.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => {
                if let Ok(v4) = <[u8; 4]>::try_from(*bytes) {
                    names.push(std::net::IpAddr::from(v4).to_string());
                } else if let Ok(v6) = <[u8; 16]>::try_from(*bytes) {
                    names.push(std::net::IpAddr::from(v6).to_string());
                }
            }
            _ => {}
        }
    }
    Some(names)
}
