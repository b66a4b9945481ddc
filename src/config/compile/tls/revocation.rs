//! Lists of revoked certificates (RFC 5280, CRL) for senders that show one.
//!
//! With lists, every sender's certificate must be one that a list of its issuer can judge: an issuer without a list would let in what it
//! revoked. A file that cannot be used refuses the whole reload, so that no list is ever dropped in silence.
//!
//! Deliberately absent: fetching lists or asking an OCSP server. The relay dials nobody; whoever renews the file decides how.

use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientCertVerifierBuilder, VerifierBuilderError};
use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use toml::Spanned;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use super::super::Compiler;
use super::super::values::{join, shown};
use crate::base::UnixMillis;
use crate::config::raw::RawClientAuth;

/// Lists of one listener, in all its files.
const MAX_LISTS: usize = 64;

const SHAPE: &str = "write crls = [\"certs/senders.crl\"]";

/// What a list is worth after its `nextUpdate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expired {
    /// Nothing: who is judged by it is not let in.
    #[default]
    Refuse,
    /// As much as before.
    Accept,
}

/// What a sender's certificate must not be on.
#[derive(Default)]
pub(super) struct Revocation {
    lists: Vec<CertificateRevocationListDer<'static>>,
    expired: Expired,
}

impl Revocation {
    /// The policy's part of what tickets belong to: nobody resumes a session past a newer list.
    pub(super) fn digest(&self, digest: &mut Sha256) {
        digest.update([u8::from(self.expired == Expired::Accept)]);
        for list in &self.lists {
            digest.update((list.len() as u64).to_be_bytes());
            digest.update(list);
        }
    }

    /// A verifier that asks the lists.
    pub(super) fn verifier(
        self,
        builder: ClientCertVerifierBuilder,
    ) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
        if self.lists.is_empty() {
            return builder.build();
        }
        let builder = builder.with_crls(self.lists).only_check_end_entity_revocation();
        let builder = if self.expired == Expired::Refuse { builder.enforce_revocation_expiration() } else { builder };
        builder.build()
    }
}

impl Compiler<'_> {
    /// The lists of a listener's `client_auth`, whose authorities are these.
    pub(super) fn revocation(
        &mut self,
        raw: &Spanned<RawClientAuth>,
        authorities: &[Vec<u8>],
        key: &str,
    ) -> Option<Revocation> {
        let fields = raw.get_ref();
        let words = [("refuse", Expired::Refuse), ("accept", Expired::Accept)];
        let expired = self.word(&fields.expired_crl, &join(key, "expired_crl"), &words, Expired::Refuse);
        let key = join(key, "crls");
        let Some(files) = &fields.crls else {
            if let Some(word) = &fields.expired_crl {
                self.reject(word, &key, "expired_crl says what expired lists are worth, and there are none", SHAPE);
            }
            return Some(Revocation::default());
        };
        if files.get_ref().is_empty() {
            self.reject(files, &key, "the list is empty", SHAPE);
            return None;
        }
        let subjects: Vec<&[u8]> = authorities.iter().filter_map(|der| subject(der)).collect();
        let mut judged = vec![false; subjects.len()];
        let mut lists = Vec::new();
        for at in files.get_ref() {
            let found = self.lists_of(at, &key)?;
            for list in &found {
                let issuer = self.judge(at, list, expired, &key)?;
                let mut known = false;
                for (judged, _) in judged.iter_mut().zip(&subjects).filter(|(_, subject)| **subject == issuer) {
                    (*judged, known) = (true, true);
                }
                if !known {
                    let what = format!("{} holds a list of an authority that ca does not name", shown(at.get_ref()));
                    self.reject(at, &key, what, "name the issuer in ca, or remove the list");
                    return None;
                }
            }
            lists.extend(found);
        }
        if lists.len() > MAX_LISTS {
            let what = format!("expected at most {MAX_LISTS} lists, found {}", lists.len());
            self.reject(files, &key, what, "one list of each authority is enough");
            return None;
        }
        if let Some(number) = judged.iter().position(|judged| !judged) {
            let what =
                format!("no list is of authority {} of ca: every certificate that it issued is refused", number + 1);
            self.warn(files, &key, what, "add its list, or remove the authority from ca");
        }
        Some(Revocation { lists, expired })
    }

    /// Every list in a PEM file, at least one.
    fn lists_of(&mut self, at: &Spanned<String>, key: &str) -> Option<Vec<CertificateRevocationListDer<'static>>> {
        let pem = match self.sources.certificates(at.get_ref()) {
            Ok(pem) => pem,
            Err(error) => {
                self.unusable(at, key, &error);
                return None;
            }
        };
        let read: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&pem).collect();
        match read {
            Ok(read) if !read.is_empty() => Some(read),
            _ => {
                let what = format!("{} holds no revocation list in PEM form", shown(at.get_ref()));
                self.reject(at, key, what, "convert it: openssl crl -inform der -in … -out …");
                None
            }
        }
    }

    /// Whose list it is. One that has expired is said; the reload goes on, since what is served is no worse for it.
    fn judge<'l>(
        &mut self,
        at: &Spanned<String>,
        list: &'l CertificateRevocationListDer<'_>,
        expired: Expired,
        key: &str,
    ) -> Option<&'l [u8]> {
        let file = shown(at.get_ref()).to_owned();
        let parsed = CertificateRevocationList::from_der(list).ok().map(|(_, parsed)| parsed);
        let Some((until, parsed)) = parsed.and_then(|parsed| Some((parsed.next_update()?.timestamp(), parsed))) else {
            let what = format!("{file} holds something that is no revocation list, or one without an end (nextUpdate)");
            self.reject(at, key, what, "have the authority issue it again");
            return None;
        };
        let now = self.now.secs();
        if until < now {
            let what = format!("the list in {file} expired on {}", UnixMillis::from_secs(until));
            let help = match expired {
                Expired::Refuse => "every certificate of its authority is refused until there is a new list",
                Expired::Accept => "it is taken as it is (expired_crl): who was revoked since is let in",
            };
            self.warn(at, key, what, help);
        } else if parsed.last_update().timestamp() > now {
            let what = format!("the list in {file} is of a time to come");
            self.warn(at, key, what, "check this host's clock");
        }
        Some(parsed.tbs_cert_list.issuer.as_raw())
    }
}

fn subject(der: &[u8]) -> Option<&[u8]> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate.tbs_certificate.subject.as_raw())
}
