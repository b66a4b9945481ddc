-- A store as version 1 wrote it: one delivered request, one on its way for the second time. Never changed again.
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
PRAGMA application_id = 1684896370;
PRAGMA user_version = 1;

INSERT INTO names VALUES (1, 'delivered'), (2, 'accepted'), (3, 'dastra'), (4, 'socket'), (5, 'public'), (6, 'current');
-- 1 700 000 000 000 is 0x18bcfe56800; the key is that, twenty bits up, and the id's last nineteen bits, one up.
INSERT INTO events VALUES (1700000000000 * 1048576 + 20, 200, 1, NULL, 200, 3, 3, '18bcfe56800000000000000000a', 1700000000000,
    '192.0.2.7', 4, 'id-1', 'X-Signature', 5, 3, 1, 1, 0, NULL, 6, NULL, 5, NULL, NULL, 204, 1, NULL, 1, 2, 3, 4, NULL, NULL);
INSERT INTO events VALUES (1700000000000 * 1048576 + 22, 200, 2, NULL, 200, 3, 3, '18bcfe56800000000000000000b', 1700000000000,
    '192.0.2.7', 4, 'id-2', NULL, 5, 3, 1, 1, 0, NULL, 6, NULL, 5, NULL, NULL, NULL, 1, NULL, 1, 2, 3, 4, 9,
    -- In clear; layout 1, POST, HTTP/1.1, length 5, host "h", path "/h", no query, one field "X-A: b".
    X'0001030102050168022f6800000103582d410162');
INSERT INTO bodies VALUES (1700000000000 * 1048576 + 22, X'0068656c6c6f');
INSERT INTO spool VALUES (9, 1700000000000 * 1048576 + 22, 3, NULL, 0, 2, 2, 1700000000000, 1700000000000, 0, NULL);
INSERT INTO attempts VALUES (1700000000000 * 1048576 + 22, 1, 1700000000000, 'direct', NULL, NULL, 'upstream_connect', 'refused', 5);
INSERT INTO dedupe VALUES (1, X'000102030405060708090a0b0c0d0e0f', 1800000000000), (2, X'ff0102030405060708090a0b0c0d0e0f', 1);
INSERT INTO marks VALUES ('silence', 'dastra', 1, X'01');
INSERT INTO meta VALUES ('refusals', 0);
