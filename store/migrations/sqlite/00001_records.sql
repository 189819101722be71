-- +goose Up

-- Who writes: one writer a chain. Numbers are in the ids of records.
CREATE TABLE chains (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    indexed INTEGER NOT NULL DEFAULT 0 -- its records up to this sequence number are in session_records
) STRICT;

-- The names behind references. A row may go at any time; no chain depends on it.
CREATE TABLE identities (
    ref     BLOB NOT NULL PRIMARY KEY, -- 16 bytes, a keyed digest
    person  TEXT NOT NULL,
    subject TEXT NOT NULL,
    issuer  TEXT NOT NULL,
    client  TEXT NOT NULL,
    act     TEXT NOT NULL,             -- a JSON array
    seen    INTEGER NOT NULL           -- ns since 1970, at most a day before the last record of it
) STRICT, WITHOUT ROWID;

-- Sessions have numbers, so that session_records stays small.
CREATE TABLE sessions (
    id       INTEGER PRIMARY KEY,
    uuid     BLOB NOT NULL UNIQUE, -- 16 bytes
    who      BLOB,                 -- identities.ref
    upstream TEXT NOT NULL,
    client   TEXT NOT NULL         -- what the client says of itself
) STRICT;

CREATE TABLE records (
    id      INTEGER PRIMARY KEY, -- chain << 40 | sequence number
    session INTEGER NOT NULL,    -- sessions.id, 0: none
    call    BLOB,                -- 16 bytes, NULL: none
    at      INTEGER NOT NULL,    -- ns since 1970
    kind    INTEGER NOT NULL,    -- audit.Kind
    effect  INTEGER NOT NULL,    -- toolcall.Effect
    outcome INTEGER NOT NULL,    -- toolcall.Outcome
    who     BLOB,                -- identities.ref, NULL: nobody
    body    TEXT NOT NULL,       -- JSON, see audit/format.go
    hash    BLOB NOT NULL        -- SHA-256 over the hash before it and this row
) STRICT;

-- Which records a session has. No index of SQLite's, because that would dirty a
-- page a session with every commit: it is filled some thousand records at a time,
-- in order, by the transaction that also moves chains.indexed (store/index.go).
CREATE TABLE session_records (
    session INTEGER NOT NULL, -- sessions.id, never 0
    record  INTEGER NOT NULL, -- records.id
    PRIMARY KEY (session, record)
) STRICT, WITHOUT ROWID;

-- The newest records, which are not in session_records yet. CROSS JOIN keeps the
-- order of the two: for each chain, its end. NOT INDEXED, because SQLite might
-- make an index of all records for the query that wants a few of these.
CREATE VIEW unindexed AS
    SELECT r.id, r.session, r.at, r.kind, r.effect, r.outcome FROM chains c CROSS JOIN records r NOT INDEXED
    ON r.id > (c.id << 40 | c.indexed) AND r.id < (c.id + 1) << 40;

-- Ends of sessions. Session numbers grow, so this one is written in order.
CREATE INDEX records_end ON records (session) WHERE kind = 2; -- audit.SessionEnd

-- Long values by digest. What a record brought goes with the last record of its
-- chain that names it; chain 0 keeps what no retention touches.
CREATE TABLE blobs (
    digest TEXT NOT NULL,
    chain  INTEGER NOT NULL,
    kind   TEXT NOT NULL,
    record INTEGER NOT NULL, -- the newest record that names it
    data   BLOB NOT NULL,
    PRIMARY KEY (digest, chain)
) STRICT;

CREATE INDEX blobs_record ON blobs (record) WHERE chain > 0;
