//! The sender's side: private keys. For `send`, tests and demonstrations; a relay that serves has none.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
    RsaKeyPair,
};
use data_encoding::BASE64;

use super::parse::{self, PublicKeyFault};
use super::{Family, KeyAlgorithm, PublicKey};
use crate::base::Secret;

/// What signs.
pub(super) enum PrivateKey {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// The curve and the form of a signature, for ECDSA.
fn ecdsa(algorithm: KeyAlgorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    match algorithm {
        KeyAlgorithm::EcdsaP256 => Some(&ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyAlgorithm::EcdsaP256Fixed => Some(&ECDSA_P256_SHA256_FIXED_SIGNING),
        KeyAlgorithm::EcdsaP384Fixed => Some(&ECDSA_P384_SHA384_FIXED_SIGNING),
        KeyAlgorithm::EcdsaP521Fixed => Some(&ECDSA_P521_SHA512_FIXED_SIGNING),
        _ => None,
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

impl PrivateKey {
    fn read(algorithm: KeyAlgorithm, der: &[u8]) -> Option<Self> {
        Some(match (algorithm.family(), ecdsa(algorithm)) {
            (_, Some(curve)) => Self::Ecdsa(EcdsaKeyPair::from_pkcs8(curve, der).ok()?),
            (Family::Ed25519, None) => Self::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?),
            (_, None) => Self::Rsa(RsaKeyPair::from_pkcs8(der).ok()?),
        })
    }

    fn public(&self) -> Option<Vec<u8>> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Ed25519(pair) => pair.public_key().as_der().ok()?,
            Self::Ecdsa(pair) => pair.public_key().as_der().ok()?,
            Self::Rsa(pair) => pair.public_key().as_der().ok()?,
        };
        Some(der.as_ref().to_vec())
    }

    pub(super) fn sign(&self, algorithm: KeyAlgorithm, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
            Self::Ecdsa(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
            Self::Rsa(pair) => {
                let padding: &'static dyn RsaEncoding = match algorithm {
                    KeyAlgorithm::RsaSha384 => &RSA_PKCS1_SHA384,
                    KeyAlgorithm::RsaSha512 => &RSA_PKCS1_SHA512,
                    KeyAlgorithm::RsaPssSha256 => &RSA_PSS_SHA256,
                    KeyAlgorithm::RsaPssSha384 => &RSA_PSS_SHA384,
                    KeyAlgorithm::RsaPssSha512 => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

/// A private key (PEM, PKCS #8), with the public one to it.
pub(in crate::scheme::check) fn pair(algorithm: KeyAlgorithm, text: &[u8]) -> Result<PublicKey, PublicKeyFault> {
    let (label, der) = parse::block(text.trim_ascii())?;
    if label != b"PRIVATE KEY" {
        return Err(if label.ends_with(b"PUBLIC KEY") { PublicKeyFault::NotPrivate } else { PublicKeyFault::Pem });
    }
    let private = PrivateKey::read(algorithm, &der).ok_or(PublicKeyFault::Unusable)?;
    let public = private.public().ok_or(PublicKeyFault::Unusable)?;
    Ok(PublicKey { private: Some(private), ..parse::of_der(algorithm, &public)? })
}

/// A new private key as PEM.
pub(in crate::scheme) fn fresh(algorithm: KeyAlgorithm) -> Option<Secret> {
    let random = SystemRandom::new();
    let der = match (algorithm.family(), ecdsa(algorithm)) {
        (_, Some(curve)) => EcdsaKeyPair::generate_pkcs8(curve, &random).ok()?.as_ref().to_vec(),
        (Family::Ed25519, None) => Ed25519KeyPair::generate_pkcs8(&random).ok()?.as_ref().to_vec(),
        (_, None) => {
            let der: Pkcs8V1Der<'_> = RsaKeyPair::generate(KeySize::Rsa2048).ok()?.as_der().ok()?;
            der.as_ref().to_vec()
        }
    };
    Some(Secret::new(pem("PRIVATE KEY", &der).into_bytes()))
}

/// The public key to a private one, both as PEM.
pub(in crate::scheme) fn public_of(algorithm: KeyAlgorithm, private: &[u8]) -> Option<String> {
    let (_, der) = parse::block(private).ok()?;
    Some(pem("PUBLIC KEY", &PrivateKey::read(algorithm, &der)?.public()?))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
