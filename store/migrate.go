package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

// schema is the newest version of the tables that this program knows: the
// number of its last migration.
const schema = 5

// migrate brings the tables up to date, and refuses tables from the future.
func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the version of the tables: %w", err)
	}
	if have > schema {
		return fmt.Errorf("its tables are of version %d, this program knows %d: %w", have, schema, ErrNewer)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate from version %d to %d: %w", have, schema, err)
	}
	return nil
}

// checkVersion is migrate for those who must not write.
func checkVersion(ctx context.Context, db *sql.DB) error {
	var have sql.NullInt64
	err := db.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version WHERE is_applied").Scan(&have)
	switch {
	case err != nil && !errors.Is(classify(err), ErrCorrupt):
		return fmt.Errorf("read the version of the tables: %w", errors.Join(err, ErrForeign))
	case err != nil:
		return err
	case have.Int64 > schema:
		return fmt.Errorf("its tables are of version %d, this program knows %d: %w", have.Int64, schema, ErrNewer)
	case have.Int64 < schema:
		return fmt.Errorf("its tables are of version %d, this program needs %d: %w", have.Int64, schema, ErrOlder)
	}
	return nil
}
