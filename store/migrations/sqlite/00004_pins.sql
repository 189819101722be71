-- +goose Up

-- What upstreams define, each form of it that was seen: see toolcall.Pin.
CREATE TABLE pins (
    upstream   TEXT NOT NULL,
    kind       INTEGER NOT NULL, -- toolcall.PinKind
    name       TEXT NOT NULL,    -- '': the first list of the kind was judged
    digest     BLOB NOT NULL,    -- 32 bytes
    parts      BLOB NOT NULL,    -- 32 bytes each
    state      INTEGER NOT NULL, -- toolcall.PinState
    causes     INTEGER NOT NULL, -- toolcall.PinCauses
    was        BLOB NOT NULL,    -- 32 bytes
    seen       INTEGER NOT NULL, -- ns since 1970
    decided    INTEGER NOT NULL, -- ns since 1970
    by         TEXT NOT NULL,
    definition TEXT NOT NULL,    -- as redaction left it
    PRIMARY KEY (upstream, kind, name, digest)
) STRICT;
