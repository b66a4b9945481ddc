//! A certificate authority per relay, made at run time.

use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, PKCS_RSA_SHA256, RevokedCertParams, SerialNumber, date_time_ymd,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub struct Pair {
    pub chain: String,
    pub key: String,
    pub der: Vec<u8>,
    pub key_der: Vec<u8>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Authorities with one name would be told apart by their signatures only.
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("authority {}", NEXT.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn issue(&self, names: &[&str]) -> Pair {
        self.issue_until(names, 2040)
    }

    /// A list of what it revoked, good until the first day of a year.
    pub fn revoked(&self, pairs: &[&Pair], year: i32) -> String {
        let revoked = |pair: &&Pair| {
            let (_, certificate) = X509Certificate::from_der(&pair.der).unwrap();
            RevokedCertParams {
                serial_number: SerialNumber::from_slice(certificate.raw_serial()),
                revocation_time: date_time_ymd(2021, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: pairs.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).unwrap().pem().unwrap()
    }

    /// Valid until the first day of a year.
    pub fn issue_until(&self, names: &[&str], year: i32) -> Pair {
        self.issue_for(KeyPair::generate().unwrap(), names, year)
    }

    /// For an RSA key.
    pub fn issue_rsa(&self, names: &[&str]) -> Pair {
        self.issue_for(KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap(), names, 2040)
    }

    fn issue_for(&self, key: KeyPair, names: &[&str], year: i32) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let cert = params.signed_by(&key, &self.0).unwrap();
        Pair { chain: cert.pem(), key: key.serialize_pem(), der: cert.der().to_vec(), key_der: key.serialize_der() }
    }
}
