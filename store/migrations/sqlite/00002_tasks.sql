-- +goose Up

-- Tasks of upstreams, each with the call that made it: see toolcall.Task.
CREATE TABLE tasks (
    call     BLOB NOT NULL PRIMARY KEY, -- 16 bytes; ids sort by time
    session  BLOB NOT NULL,             -- 16 bytes
    name     BLOB NOT NULL UNIQUE,      -- 32 bytes, a keyed digest
    owner    BLOB NOT NULL,             -- 32 bytes, a keyed digest
    upstream TEXT NOT NULL,
    tool     TEXT NOT NULL,
    handle   TEXT NOT NULL,             -- sealed
    args     TEXT NOT NULL,             -- sealed
    redact   TEXT NOT NULL,             -- a JSON array
    policy   TEXT NOT NULL,
    began    INTEGER NOT NULL,          -- ns since 1970
    expires  INTEGER NOT NULL,          -- ns since 1970
    ended    INTEGER NOT NULL           -- 1: how it ended is in the record
) STRICT;

CREATE INDEX tasks_owner ON tasks (ended, owner, call);
CREATE INDEX tasks_expires ON tasks (expires);
