//! The tables, and how an older file becomes a newer one.
//!
//! Each step is one transaction and is never changed once released; a new need is a new step. `PRAGMA user_version` says
//! which steps a file has had.

use rusqlite::{Connection, TransactionBehavior};

use super::generation::Generation;

/// "dmzr": `file` and a careful operator can tell what this is.
pub(super) const APPLICATION_ID: i32 = 0x646d_7a72;

/// Step by step from an empty file.
pub(super) const STEPS: &[&str] = &[FIRST, SECOND, SHARES, PROOF, FAILURES, CLOCKS, ACTIONS];

/// A row's `key` is the millisecond in its request id, twenty bits up, then nineteen bits of the id's random part and one
/// that tells the two tables apart. So history lies in the order of time, a row is found by its request id, retention cuts
/// at a key, and none of it needs an index: every index with keys in random order would cost more than the row.
///
/// Words that repeat are numbers from `names`; the view `history` shows them as words.
const FIRST: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);

CREATE TABLE events (
    key INTEGER PRIMARY KEY, size INTEGER NOT NULL, outcome INTEGER NOT NULL, reason INTEGER, status INTEGER NOT NULL,
    route INTEGER, provider INTEGER, request_id TEXT NOT NULL, received_at INTEGER NOT NULL, source TEXT NOT NULL,
    via INTEGER NOT NULL, dedupe TEXT, sensitive TEXT, listener INTEGER NOT NULL, method INTEGER NOT NULL,
    version INTEGER NOT NULL, https INTEGER NOT NULL, suffix INTEGER NOT NULL, allowed_by TEXT, secret INTEGER,
    timestamp INTEGER, body_bytes INTEGER NOT NULL, upstream INTEGER, server INTEGER, upstream_status INTEGER,
    attempts INTEGER NOT NULL, detail TEXT, took_read INTEGER NOT NULL, took_verify INTEGER NOT NULL,
    took_forward INTEGER NOT NULL, took_total INTEGER NOT NULL, ticket INTEGER, head BLOB
);
CREATE TABLE refusals (
    key INTEGER PRIMARY KEY, size INTEGER NOT NULL, outcome INTEGER NOT NULL, reason INTEGER, status INTEGER NOT NULL,
    route INTEGER, provider INTEGER, request_id TEXT NOT NULL, received_at INTEGER NOT NULL, source TEXT NOT NULL,
    via INTEGER NOT NULL, dedupe TEXT, sensitive TEXT, listener INTEGER NOT NULL, method INTEGER NOT NULL,
    version INTEGER NOT NULL, https INTEGER NOT NULL, suffix INTEGER NOT NULL, allowed_by TEXT, secret INTEGER,
    timestamp INTEGER, body_bytes INTEGER NOT NULL, upstream INTEGER, server INTEGER, upstream_status INTEGER,
    attempts INTEGER NOT NULL, detail TEXT, took_read INTEGER NOT NULL, took_verify INTEGER NOT NULL,
    took_forward INTEGER NOT NULL, took_total INTEGER NOT NULL, ticket INTEGER, head BLOB
);
CREATE TABLE bodies (key INTEGER PRIMARY KEY, body BLOB NOT NULL);

CREATE TABLE spool (
    seq INTEGER PRIMARY KEY, key INTEGER NOT NULL, route INTEGER NOT NULL, due INTEGER, state INTEGER NOT NULL,
    attempts INTEGER NOT NULL, since_revival INTEGER NOT NULL, allowance_from INTEGER NOT NULL,
    received_at INTEGER NOT NULL, keep_body INTEGER NOT NULL, seal INTEGER
);
CREATE INDEX spool_due ON spool (route, due, seq) WHERE due IS NOT NULL;
CREATE INDEX spool_order ON spool (route, seq) WHERE state <> 1;

CREATE TABLE attempts (
    event INTEGER NOT NULL, number INTEGER NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL, server TEXT, status INTEGER,
    fault TEXT, detail TEXT, took INTEGER NOT NULL, PRIMARY KEY (event, number, at)
) WITHOUT ROWID;

CREATE TABLE dedupe (id INTEGER PRIMARY KEY, key BLOB NOT NULL, until INTEGER NOT NULL);
CREATE TABLE marks (
    kind TEXT NOT NULL, route TEXT NOT NULL, slot INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, route, slot)
) WITHOUT ROWID;

CREATE VIEW history AS
SELECT request_id, strftime('%Y-%m-%dT%H:%M:%fZ', received_at / 1000.0, 'unixepoch') AS received,
    (SELECT text FROM names WHERE id = route) AS route, (SELECT text FROM names WHERE id = provider) AS provider,
    (SELECT text FROM names WHERE id = outcome) AS outcome, (SELECT text FROM names WHERE id = reason) AS reason,
    status, source, dedupe, (SELECT text FROM names WHERE id = server) AS server, upstream_status, attempts, body_bytes,
    detail
FROM (SELECT * FROM events UNION ALL SELECT * FROM refusals) ORDER BY key;
";

/// What is not shown of a head stands as marks and not as names: a row of the first version, whose names are text, has none and is
/// masked by the configuration of the day. What was blanked waits beside the body.
const SECOND: &str = "
ALTER TABLE events RENAME COLUMN sensitive TO marks;
ALTER TABLE refusals RENAME COLUMN sensitive TO marks;
ALTER TABLE bodies ADD COLUMN held BLOB;
";

/// Whose a dedupe key is, and what a waiting request takes: each route has a share of both kinds of room.
const SHARES: &str = "
ALTER TABLE dedupe ADD COLUMN route INTEGER;
ALTER TABLE spool ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE spool SET bytes = coalesce((SELECT size FROM events WHERE events.key = spool.key), 0);
";

/// What a request was verified by when it was accepted: its delivery asks for it again.
const PROOF: &str = "
ALTER TABLE events ADD COLUMN verified_by INTEGER;
ALTER TABLE refusals ADD COLUMN verified_by INTEGER;
";

/// The allowance goes by attempts that the upstream made fail, and no longer by every claim; what it refused is found without its
/// time. Of a claim that is under way nobody knows yet.
const FAILURES: &str = "
ALTER TABLE spool RENAME COLUMN since_revival TO failures;
ALTER TABLE spool ADD COLUMN refused INTEGER;
UPDATE spool SET failures = max(failures - 1, 0) WHERE due IS NULL AND state <> 1;
CREATE INDEX spool_refused ON spool (route, refused) WHERE refused IS NOT NULL AND due IS NOT NULL;
";

/// Dedupe keys are forgotten by two clocks: `until` is the wall's, `steady` the store's own.
const CLOCKS: &str = "ALTER TABLE dedupe ADD COLUMN steady INTEGER NOT NULL DEFAULT 0;";

/// Who did what over the admin socket. Bounded in number by each insert, apart from the history.
const ACTIONS: &str = "
CREATE TABLE actions (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, action TEXT NOT NULL, result TEXT NOT NULL, status INTEGER NOT NULL,
    uid INTEGER, user TEXT, pid INTEGER, place TEXT NOT NULL, request_id TEXT, count INTEGER, detail TEXT,
    token TEXT
);
CREATE INDEX actions_token ON actions (token) WHERE token IS NOT NULL;
";

/// The newest version that this program knows.
pub(super) fn known() -> u32 {
    u32::try_from(STEPS.len()).unwrap_or(u32::MAX)
}

/// The version of a file's tables; zero for an empty one.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings a file up to date. What it writes names the log that it goes to.
pub(super) fn migrate(connection: &mut Connection, steps: &[&str], generation: Generation) -> rusqlite::Result<()> {
    let from = usize::try_from(version(connection)?).unwrap_or(usize::MAX);
    for (number, step) in steps.iter().enumerate().skip(from) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        generation.write(&transaction)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", i64::try_from(number + 1).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
    Ok(())
}
