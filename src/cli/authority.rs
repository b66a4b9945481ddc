//! A private certificate authority, and a server certificate by it: for the demo, and for `init` where there is no public name.
//!
//! The authority's key is given out once and kept nowhere: who wants another certificate makes a new authority.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use zeroize::Zeroizing;

use crate::base::UnixMillis;

/// Why there is no certificate.
pub type Error = rcgen::Error;

/// An authority's certificate, and a server's certificate and key by it, in PEM.
#[derive(Debug)]
pub struct Issued {
    /// What clients trust.
    pub authority: String,
    /// What the server shows.
    pub certificate: String,
    /// PKCS#8. Belongs into a file that nobody else reads.
    pub key: Zeroizing<String>,
}

/// Issues a certificate for these names (DNS names or addresses), valid from yesterday for this many days. `authority` is what
/// the authority calls itself.
pub fn issue(authority: &str, names: &[String], now: UnixMillis, days: i64) -> Result<Issued, Error> {
    let day = |days: i64| {
        let at = jiff::Timestamp::from_second(now.secs() + days * 86_400).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
        date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    let mut root = CertificateParams::new(Vec::new())?;
    root.distinguished_name.push(DnType::CommonName, authority);
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (root.not_before, root.not_after) = (day(-1), day(days));
    let root_key = KeyPair::generate()?;
    let authority = root.self_signed(&root_key)?.pem();
    let issuer = Issuer::new(root, root_key);

    let mut server = CertificateParams::new(names.to_vec())?;
    if let Some(name) = names.first() {
        server.distinguished_name.push(DnType::CommonName, name.as_str());
    }
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    (server.not_before, server.not_after) = (day(-1), day(days));
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &issuer)?.pem();
    Ok(Issued { authority, certificate, key: Zeroizing::new(key.serialize_pem()) })
}
