//! Senders' signatures, written from the providers' words and not from the relay's code.

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Call, NOW};

fn hmac(secret: &str, message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

pub fn hex_hmac(secret: &str, message: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(&hmac(secret, message.as_ref()))
}

pub fn base64_hmac(secret: &str, message: impl AsRef<[u8]>) -> String {
    BASE64.encode(&hmac(secret, message.as_ref()))
}

/// An event of Oktave.
#[derive(Clone, Debug)]
pub struct Oktave {
    pub secret: String,
    pub id: String,
    pub at: i64,
}

impl Oktave {
    /// Events of one test differ in their number.
    pub fn event(secret: &str, number: u32) -> Self {
        Self { secret: secret.into(), id: format!("0191e2a4-7b1c-7c3e-9f00-{number:012x}"), at: NOW }
    }

    pub fn at(mut self, at: i64) -> Self {
        self.at = at;
        self
    }

    pub fn body(&self) -> String {
        format!(
            "{{\"id\":\"attempt\",\"event_id\":\"{}\",\"timestamp\":{},\"type\":\"contact\",\"is_test\":false,\"data\":{{}}}}",
            self.id, self.at
        )
    }

    pub fn call(&self, target: &str) -> Call {
        Call::post(target)
            .field("Content-Type", "application/json")
            .field("Oktave-Event-Id", &self.id)
            .field("Oktave-Timestamp", &self.at.to_string())
            .field("Oktave-Signature", &hex_hmac(&self.secret, format!("{}{}", self.id, self.at)))
            .body(self.body())
    }
}
