//! Times of the status: seconds since the epoch inside, RFC 3339 in JSON.

use jiff::Timestamp;
use serde::{Deserialize as _, Deserializer, Serializer, de};

pub(super) fn serialize<S: Serializer>(secs: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&stamp(*secs))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Timestamp::as_second).map_err(de::Error::custom)
}

/// A certificate may say that it never ends, with a time that is past the last one.
fn stamp(secs: i64) -> Timestamp {
    Timestamp::from_second(secs).unwrap_or(if secs < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// The same where there may be none.
pub(super) mod optional {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(in crate::control::admin::status) fn serialize<S: Serializer>(
        secs: &Option<i64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match secs {
            Some(secs) => serializer.collect_str(&super::stamp(*secs)),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::control::admin::status) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<i64>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map(jiff::Timestamp::as_second).map_err(de::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use crate::control::admin::status::{CertificateStatus, SpoolStatus};

    #[test]
    fn times_are_written_and_read() {
        let certificate = CertificateStatus { names: Vec::new(), not_before: 1_767_225_600, not_after: i64::MAX };
        let text = serde_json::to_string(&certificate).unwrap();
        assert!(text.contains(r#""not_before":"2026-01-01T00:00:00Z","not_after":"9999-12-30T"#), "{text}");
        let read: CertificateStatus = serde_json::from_str(&text).unwrap();
        assert_eq!((read.not_before, read.not_after > 253_000_000_000), (1_767_225_600, true));
        for oldest in [None, Some(1_767_225_600)] {
            let spool = SpoolStatus { oldest, ..SpoolStatus::default() };
            let text = serde_json::to_string(&spool).unwrap();
            assert_eq!(serde_json::from_str::<SpoolStatus>(&text).unwrap(), spool, "{text}");
        }
    }
}
