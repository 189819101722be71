-- +goose Up

-- Under which keys a task asked its owner for something last: see toolcall.Task.
ALTER TABLE tasks ADD COLUMN asked TEXT NOT NULL DEFAULT ''; -- sealed; '': it did not
