//! A row of the history: its key, its columns, there and back.

use std::collections::HashMap;
use std::hash::Hasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::base::UnixMillis;
use crate::domain::{HistoryOutcome, Marks, Version};
use crate::store::entry::{Entry, Event, Took};
use crate::store::head;
use crate::store::seal::{Facts, Keyring, Kind, Place};

use super::columns::columns;

columns! {
    /// Of both tables of the history, as far as [`event`] and a search read them.
    pub(super) enum Column {
        key,
        outcome,
        reason,
        status,
        route,
        provider,
        request_id,
        received_at,
        source,
        via,
        dedupe,
        marks,
        listener,
        method,
        version,
        https,
        suffix,
        allowed_by,
        secret,
        timestamp,
        body_bytes,
        upstream,
        server,
        upstream_status,
        attempts,
        detail,
        took_read,
        took_verify,
        took_forward,
        took_total,
        ticket,
        head,
        verified_by,
    }
}

impl Column {
    /// The value as it lies in the row.
    pub(super) fn raw<'r>(self, row: &'r Row<'_>) -> rusqlite::Result<ValueRef<'r>> {
        row.get_ref(self as usize)
    }
}

/// How far a key may have moved up because another row had it.
pub(super) const PROBES: i64 = 64;

/// The two tables of the history; the last bit of a row's key says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Events,
    Refusals,
}

impl Table {
    pub(super) const BOTH: [Self; 2] = [Self::Events, Self::Refusals];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Refusals => "refusals",
        }
    }

    fn bit(self) -> i64 {
        match self {
            Self::Events => 0,
            Self::Refusals => 1,
        }
    }

    /// What a stranger can bring about at will is bounded apart.
    pub(super) fn of(entry: &Entry) -> Self {
        if entry.is_bounded() { Self::Refusals } else { Self::Events }
    }
}

/// The first key of a millisecond.
pub(super) fn key_at(at: UnixMillis) -> i64 {
    at.0.clamp(0, i64::MAX >> 20) << 20
}

/// The first key that a row with this request id may have: eleven hexadecimal digits of milliseconds, sixteen of chance.
/// `None` for a name that is no request id.
pub(super) fn key_of(request_id: &str, table: Table) -> Option<i64> {
    let (millis, chance) = request_id.split_at_checked(11)?;
    if chance.len() != 16 || !request_id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let millis = i64::from_str_radix(millis, 16).ok()?;
    let chance = i64::try_from(u64::from_str_radix(chance, 16).ok()? & 0x7_ffff).ok()?;
    Some(key_at(UnixMillis(millis)) | chance << 1 | table.bit())
}

/// The key of a row that is written: by its id, or, where that is none of ours, by its time.
pub(super) fn key_for(entry: &Entry, table: Table) -> i64 {
    key_of(&entry.request_id, table).unwrap_or_else(|| {
        let mut spread = super::write::Fnv1a::default();
        spread.write(entry.request_id.as_bytes());
        let hash = spread.finish();
        key_at(entry.received_at) | i64::from((hash & 0x7_ffff) as u32) << 1 | table.bit()
    })
}

/// Words by their numbers. A number is never used again, so what is known stays true.
#[derive(Debug, Default)]
pub(super) struct Words(HashMap<i64, Arc<str>>);

impl Words {
    pub(super) fn word(&mut self, connection: &Connection, id: Option<i64>) -> rusqlite::Result<Option<Arc<str>>> {
        let Some(id) = id else { return Ok(None) };
        if let Some(known) = self.0.get(&id) {
            return Ok(Some(Arc::clone(known)));
        }
        let mut statement = connection.prepare_cached("SELECT text FROM names WHERE id = ?1")?;
        let found: Option<String> = statement.query_row([id], |row| row.get(0)).optional()?;
        let Some(found) = found else { return Ok(None) };
        let word: Arc<str> = Arc::from(found);
        self.0.insert(id, Arc::clone(&word));
        Ok(Some(word))
    }
}

/// The number of a word, if any row ever had it.
pub(super) fn number(connection: &Connection, word: &str) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT id FROM names WHERE text = ?1")?;
    statement.query_row([word], |row| row.get(0)).optional()
}

/// Reads a row that was selected with [`Column::LIST`]. A head that does not open, or is none, is absent.
pub(super) fn event(
    connection: &Connection,
    words: &mut Words,
    keys: &Keyring,
    row: &Row<'_>,
) -> rusqlite::Result<(i64, Option<i64>, Event)> {
    let key: i64 = Column::key.of(row)?;
    let mut word = |column: Column| words.word(connection, column.of(row)?);
    let text = |word: Option<Arc<str>>| Box::<str>::from(word.as_deref().unwrap_or_default());
    let (outcome, reason, via) = (word(Column::outcome)?, word(Column::reason)?, word(Column::via)?);
    let (route, provider, listener) = (word(Column::route)?, word(Column::provider)?, word(Column::listener)?);
    let (secret, upstream, server, verified_by) =
        (word(Column::secret)?, word(Column::upstream)?, word(Column::server)?, word(Column::verified_by)?);
    let source: String = Column::source.of(row)?;
    let marks = Column::marks.raw(row)?.as_blob_or_null().unwrap_or_default().map(Marks::from_bytes);
    let sealed: Option<Vec<u8>> = Column::head.of(row)?;
    let proof = secret.as_deref().unwrap_or_default();
    let route_name = route.as_deref().unwrap_or_default();
    let place = Place { kind: Kind::Head, row: key, route: route_name, proof, facts: Facts::NONE };
    let opened = sealed.and_then(|sealed| keys.open(place, sealed).ok());
    let micros = |column: Column| column.of(row).map(|micros: i64| Duration::from_micros(micros.unsigned_abs()));
    let entry = Entry {
        request_id: Column::request_id.of::<String>(row)?.into(),
        received_at: UnixMillis(Column::received_at.of(row)?),
        listener: listener.unwrap_or_default(),
        route,
        provider,
        method: head::method_of(Column::method.of(row)?).unwrap_or(crate::domain::Method::Other),
        version: head::version_of(Column::version.of(row)?).unwrap_or(Version::Http11),
        head: opened.and_then(|bytes| head::decode(&bytes)),
        marks: marks.unwrap_or_default(),
        suffix: usize::try_from(Column::suffix.of::<i64>(row)?).unwrap_or_default(),
        https: Column::https.of(row)?,
        source: source.parse().unwrap_or(IpAddr::from([0, 0, 0, 0])),
        via: "",
        allowed_by: Column::allowed_by.of::<Option<String>>(row)?.map(Into::into),
        outcome: HistoryOutcome::parse(outcome.as_deref().unwrap_or_default()),
        reason: "",
        status: Column::status.of(row)?,
        key: secret,
        verified_by,
        dedupe: Column::dedupe.of::<Option<String>>(row)?.map(Into::into),
        timestamp: Column::timestamp.of::<Option<i64>>(row)?.map(UnixMillis),
        body_bytes: Column::body_bytes.of::<i64>(row)?.unsigned_abs(),
        body: None,
        held: None,
        upstream,
        server,
        upstream_status: Column::upstream_status.of(row)?,
        attempts: Column::attempts.of(row)?,
        detail: Column::detail.of::<Option<String>>(row)?.map(Into::into),
        took: Took {
            read: micros(Column::took_read)?,
            verify: micros(Column::took_verify)?,
            forward: micros(Column::took_forward)?,
            total: micros(Column::took_total)?,
        },
    };
    let event = Event {
        reason: text(reason),
        via: text(via),
        entry,
        history: Vec::new(),
        stage: None,
        due: None,
        has_body: false,
    };
    Ok((key, Column::ticket.of(row)?, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_the_time_in_the_id_and_tell_the_tables_apart() {
        let id = "18bcfe56800fffffffffff7ffff";
        let key = key_of(id, Table::Events).unwrap();
        assert_eq!(key >> 20, 1_700_000_000_000);
        assert_eq!(key & 0xf_ffff, 0xf_fffe);
        assert_eq!(key_of(id, Table::Refusals), Some(key + 1));
        assert!(key_at(UnixMillis(1_700_000_000_000)) <= key && key < key_at(UnixMillis(1_700_000_000_001)));
    }

    #[test]
    fn what_is_no_request_id_has_no_key() {
        let long = "f".repeat(27);
        for id in [
            "",
            "01j",
            "18bcfe56800fffffffffff7fff",
            "18bcfe56800fffffffffff7fffff",
            "18bcfe56800ffffffffffé7fff",
            "+8bcfe56800fffffffffff7ffff",
        ] {
            assert_eq!(key_of(id, Table::Events), None, "{id}");
        }
        assert!(key_of(&long, Table::Events).unwrap() > 0, "the end of time, and no overflow");
        assert!(key_at(UnixMillis(i64::MAX)) > 0);
        assert_eq!(key_at(UnixMillis(-5)), 0);
    }
}
