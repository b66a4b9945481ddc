use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER};

use super::*;
use crate::scheme::compiled::Message;
use crate::scheme::template::Template;
use crate::scheme::wrapping::{SignatureSpec, Wrapping};

fn spec(algorithm: KeyAlgorithm, encoding: Encoding, raw: bool) -> PublicKeySpec {
    let places = vec![Source::Header("X".into())];
    let signature = SignatureSpec { places, wrapping: Wrapping::Bare, prefix: "".into(), encoding: Encoding::Base64 };
    let message = Message { template: Template::parse("{body}").unwrap(), digests: Vec::new() };
    let (key_item, each, hashed) = (None, None, None);
    let (variants, both_ports) = (Vec::new(), false);
    let envelope = Envelope { signature, key_id: None, key_item, message, variants, both_ports, each, hashed };
    PublicKeySpec { algorithm, form: KeyForm { prefix: None, encoding, raw, certificate: false }, envelope }
}

fn der_of(pem: &str) -> Vec<u8> {
    parse::block(pem.trim().as_bytes()).unwrap().1
}

/// The public key of a fresh pair, as DER.
fn public(algorithm: KeyAlgorithm) -> Vec<u8> {
    let private = fresh(algorithm).unwrap();
    der_of(&public_of(algorithm, private.expose()).unwrap())
}

fn fault(spec: &PublicKeySpec, text: impl AsRef<[u8]>) -> PublicKeyFault {
    parse::public(spec.algorithm, &spec.form, text.as_ref()).map(|_| ()).unwrap_err()
}

/// A public RSA key of so many bits; its numbers are none.
fn rsa_of(bits: usize) -> Vec<u8> {
    let value = |tag: u8, content: &[u8]| {
        let length = content.len();
        [&[tag, 0x82, (length >> 8) as u8, length as u8][..], content].concat()
    };
    let modulus = [&[0][..], &vec![0xc1; bits / 8]].concat();
    let key = value(0x30, &[value(0x02, &modulus), vec![0x02, 3, 1, 0, 1]].concat());
    let algorithm = HEXLOWER.decode(b"300d06092a864886f70d0101010500").unwrap();
    value(0x30, &[algorithm, value(0x03, &[&[0][..], &key].concat())].concat())
}

#[test]
fn what_is_no_public_key_is_named() {
    use PublicKeyFault as F;
    let ed = KeyAlgorithm::Ed25519;
    let (raw, der) = (spec(ed, Encoding::Base64, true), spec(ed, Encoding::Base64, false));
    let hex = spec(ed, Encoding::Hex, true);
    let private = fresh(ed).unwrap();
    let private = std::str::from_utf8(private.expose()).unwrap();
    let key = public(ed);
    let bare = key.last_chunk::<32>().unwrap();
    let pem = public_of(ed, private.as_bytes()).unwrap();
    for good in [BASE64.encode(bare), pem.clone(), format!("\n{pem}\n")] {
        assert!(parse::public(raw.algorithm, &raw.form, good.as_bytes()).is_ok(), "{good}");
    }
    assert!(parse::public(der.algorithm, &der.form, BASE64.encode(&key).as_bytes()).is_ok());
    assert_eq!(fault(&raw, private), F::Private);
    assert_eq!(fault(&raw, BASE64.encode(&der_of(private))), F::Private);
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert;
    assert_eq!(fault(&raw, certificate.pem()), F::Certificate);
    assert_eq!(fault(&der, BASE64.encode(certificate.der())), F::Certificate);
    assert_eq!(fault(&raw, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== me@host"), F::Ssh);
    assert_eq!(fault(&raw, pem.trim_end().trim_end_matches("KEY-----")), F::Pem);
    assert_eq!(fault(&raw, pem.replace("PUBLIC KEY", "PGP MESSAGE")), F::Pem);
    assert_eq!(fault(&raw, format!("{pem}{pem}")), F::Several);
    assert_eq!(fault(&raw, HEXLOWER.encode(bare)), F::Spelled(Encoding::Hex, Encoding::Base64));
    assert_eq!(fault(&hex, BASE64.encode(bare)), F::Spelled(Encoding::Base64, Encoding::Hex));
    assert_eq!(fault(&raw, BASE64_NOPAD.encode(bare)), F::Spelled(Encoding::Base64Unpadded, Encoding::Base64));
    assert_eq!(fault(&raw, "not a key at all"), F::Undecodable(Encoding::Base64));
    assert_eq!(fault(&der, BASE64.encode(bare)), F::RawForDer(32));
    assert_eq!(fault(&raw, BASE64.encode(&key)), F::DerForRaw);
    assert_eq!(fault(&raw, BASE64.encode(&bare[1..])), F::Length(31, 32));
    assert_eq!(fault(&hex, HEXLOWER.encode(&[bare.as_slice(), bare].concat())), F::Length(64, 32));
    assert_eq!(fault(&der, BASE64.encode(&[&key[..], &[0]].concat())), F::NoKey);
    assert_eq!(fault(&der, BASE64.encode(&public(KeyAlgorithm::EcdsaP256))), F::Kind("ECDSA on P-256", "Ed25519"));
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, pair.as_ref()).unwrap();
    let p384: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let p256 = spec(KeyAlgorithm::EcdsaP256, Encoding::Base64, false);
    assert_eq!(fault(&p256, BASE64.encode(p384.as_ref())), F::Kind("ECDSA on P-384", "ECDSA on P-256"));
    assert_eq!(fault(&der, BASE64.encode(p384.as_ref())), F::Kind("ECDSA on P-384", "Ed25519"));
    let rsa = spec(KeyAlgorithm::RsaSha256, Encoding::Base64, false);
    assert_eq!(fault(&rsa, BASE64.encode(&rsa_of(1024))), F::Bits(1024));
    assert_eq!(fault(&rsa, BASE64.encode(&rsa_of(8256))), F::Bits(8256));
    assert!(parse::public(rsa.algorithm, &rsa.form, BASE64.encode(&rsa_of(8192)).as_bytes()).is_ok());
    assert_eq!(fault(&rsa, BASE64.encode(&key)), F::Kind("Ed25519", "RSA"));
}

/// With such a key anybody could sign: the identity, points of order 2, 4 and 8, and what stands for the same numbers.
#[test]
fn keys_that_anybody_can_sign_for_are_refused() {
    let raw = spec(KeyAlgorithm::Ed25519, Encoding::Hex, true);
    for key in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ] {
        assert_eq!(fault(&raw, key), PublicKeyFault::SmallOrder, "{key}");
        let der = format!("302a300506032b6570032100{key}");
        let whole = spec(KeyAlgorithm::Ed25519, Encoding::Hex, false);
        assert_eq!(fault(&whole, der), PublicKeyFault::SmallOrder, "{key}");
    }
}

/// A pair for an algorithm, and what it makes of a message.
fn signed(algorithm: KeyAlgorithm, message: &[u8]) -> (PublicKey, Vec<u8>) {
    let key = pair(algorithm, fresh(algorithm).unwrap().expose()).unwrap();
    let signature = key.private.as_ref().unwrap().sign(algorithm, message).unwrap();
    (key, signature)
}

fn verifies(algorithm: KeyAlgorithm, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let signed = match algorithm.digest() {
        Some(hash) => Signed::Digest(digest::digest(hash, message)),
        None => Signed::Whole(Cow::Borrowed(message)),
    };
    algorithm.fits(signature.len()) && signed.is_signed_by(key, signature)
}

#[test]
fn the_key_in_a_certificate_counts_where_the_scheme_has_certificates() {
    use PublicKeyFault as F;
    let of = |algorithm| {
        let plain = spec(algorithm, Encoding::Base64, false);
        PublicKeySpec { form: KeyForm { certificate: true, ..plain.form.clone() }, ..plain }
    };
    let p256 = of(KeyAlgorithm::EcdsaP256);
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert;
    let pem = certificate.pem();
    assert!(parse::public(p256.algorithm, &p256.form, pem.as_bytes()).is_ok());
    assert!(
        parse::public(
            p256.algorithm,
            &p256.form,
            public_of(KeyAlgorithm::EcdsaP256, fresh(KeyAlgorithm::EcdsaP256).unwrap().expose()).unwrap().as_bytes()
        )
        .is_ok()
    );
    assert_eq!(fault(&of(KeyAlgorithm::RsaSha1), &pem), F::Kind("ECDSA on P-256", "RSA"));
    assert_eq!(fault(&p256, format!("{pem}{pem}")), F::Several);
    let der = certificate.der();
    for end in (0..der.len()).step_by(7) {
        let cut = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----", BASE64.encode(&der[..end]));
        assert_eq!(fault(&p256, cut), F::NoKey);
    }
}

#[test]
fn a_signature_has_one_writing() {
    // Over SHA-1 nothing is signed here; the vectors have such signatures.
    for algorithm in KeyAlgorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_legacy()) {
        let (key, signature) = signed(algorithm, b"message");
        assert!(verifies(algorithm, &key, b"message", &signature), "{algorithm:?}");
        assert!(!verifies(algorithm, &key, b"massage", &signature), "{algorithm:?}");
        for other in [&signature[1..], &signature[..signature.len() - 1], &[&signature[..], &[0]].concat(), &[]] {
            assert!(!verifies(algorithm, &key, b"message", other), "{algorithm:?}: {} bytes", other.len());
        }
        let longer = [&[0][..], &signature].concat();
        assert!(!verifies(algorithm, &key, b"message", &longer), "{algorithm:?}");
    }
}

/// DER has one writing for each number: no zeros before it, no long form of a short length, nothing behind the two.
#[test]
fn der_of_ecdsa_is_strict() {
    let algorithm = KeyAlgorithm::EcdsaP256;
    let (key, signature) = signed(algorithm, b"message");
    let r_length = usize::from(signature[3]);
    let (r, s) = (&signature[4..4 + r_length], &signature[6 + r_length..]);
    let integer = |bytes: &[u8]| [&[0x02, bytes.len() as u8][..], bytes].concat();
    let whole = |content: &[u8]| [&[0x30, content.len() as u8][..], content].concat();
    let plain = [integer(r), integer(s)].concat();
    assert_eq!(whole(&plain), signature);
    let padded = [&[0][..], r].concat();
    let behind = [plain.clone(), vec![0x05, 0]].concat();
    let long = [&[0x30, 0x81, plain.len() as u8][..], &plain].concat();
    let negative = [integer(&[&[0xff][..], r].concat()), integer(s)].concat();
    for other in [whole(&[integer(&padded), integer(s)].concat()), whole(&behind), long, whole(&negative)] {
        assert!(!verifies(algorithm, &key, b"message", &other), "{other:02x?}");
    }
    // Zero is no number of a signature.
    assert!(!verifies(algorithm, &key, b"message", &whole(&[integer(&[0]), integer(&[0])].concat())));
}

/// The two numbers of which anybody can compute a second signature: it proves the same, so it is known as the same.
#[test]
fn the_other_signature_of_ecdsa_is_the_same_request() {
    const ORDER: &[u8; 64] = b"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let algorithm = KeyAlgorithm::EcdsaP256Fixed;
    let (key, signature) = signed(algorithm, b"message");
    let order = HEXLOWER.decode(ORDER).unwrap();
    let (mut other, mut borrow) = (signature.clone(), 0i16);
    for at in (0..32).rev() {
        let left = i16::from(order[at]) - i16::from(signature[32 + at]) - borrow;
        borrow = i16::from(left < 0);
        other[32 + at] = left.rem_euclid(256) as u8;
    }
    assert_ne!(other, signature);
    assert!(verifies(algorithm, &key, b"message", &other));
    let name = |message: &[u8]| Signed::Digest(digest::digest(&digest::SHA256, message)).name().unwrap();
    assert_eq!(name(b"message").as_bytes(), name(b"message").as_bytes());
    assert_ne!(name(b"message").as_bytes(), name(b"massage").as_bytes());
}

/// A key says what it is for only so far; the algorithm is the configuration's.
#[test]
fn a_signature_of_another_algorithm_is_none() {
    let (key, signature) = signed(KeyAlgorithm::RsaSha256, b"message");
    for other in [KeyAlgorithm::RsaSha512, KeyAlgorithm::RsaPssSha256] {
        let read = key.read_for(other).unwrap();
        assert!(!verifies(other, &read, b"message", &signature), "{other:?}");
    }
    assert!(key.read_for(KeyAlgorithm::Ed25519).is_none());
}

#[test]
fn large_keys_cost_more() {
    let rsa = spec(KeyAlgorithm::RsaSha256, Encoding::Base64, false);
    let cost =
        |bits: usize| parse::public(rsa.algorithm, &rsa.form, BASE64.encode(&rsa_of(bits)).as_bytes()).unwrap().cost();
    assert!(cost(2048) < cost(8192));
    assert_eq!(cost(2048), cost(4096));
}
