-- +goose Up

-- What is counted of limits: see toolcall.Window. Written with the records of the
-- calls that are counted, in their transaction.
CREATE TABLE windows (
    key   BLOB NOT NULL PRIMARY KEY, -- 32 bytes, a keyed digest
    state BLOB NOT NULL,
    until INTEGER NOT NULL           -- ns since 1970; then nothing of it counts any more
) STRICT, WITHOUT ROWID;
