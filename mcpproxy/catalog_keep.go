package mcpproxy

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// What an upstream can make the store keep by listing other tools again and again
// (law 14): catalogues are kept for good. What is beyond is neither kept nor shown.
const (
	cataloguesAtOnce     = 64
	catalogueEvery       = 5 * time.Minute // one more
	catalogueBytesAtOnce = 32 << 20
	catalogueBytesHourly = 8 << 20 // more
)

// maxKeptDigests bounds the catalogues of an upstream that are known to be kept. A
// catalogue beyond counts as new.
const maxKeptDigests = 1024

// keptCatalogues are the catalogues of an upstream that this process has put in the
// record, and how many more may come.
type keptCatalogues struct {
	digests map[string]bool
	count   *rate.Limiter
	bytes   *rate.Limiter
}

func newKeptCatalogues() keptCatalogues {
	return keptCatalogues{
		digests: map[string]bool{},
		count:   rate.NewLimiter(rate.Every(catalogueEvery), cataloguesAtOnce),
		bytes:   rate.NewLimiter(rate.Limit(catalogueBytesHourly)/rate.Limit(time.Hour/time.Second), catalogueBytesAtOnce),
	}
}

// admit reports whether a catalogue of so many bytes may be kept beside the others.
// One that is larger than all that may come at once takes all of that.
func (k *keptCatalogues) admit(bytes int, now time.Time) bool {
	bytes = min(bytes, catalogueBytesAtOnce)
	return k.bytes.TokensAt(now) >= float64(bytes) && k.count.AllowN(now, 1) && k.bytes.AllowN(now, bytes)
}

// keepCatalogue makes a catalogue durable, in the record and as a text, the first
// time that this process sees its definitions. An error means that it must not be
// shown.
func (p *Proxy) keepCatalogue(ctx context.Context, x *exchange, cat *catalogue, text string) error {
	u := x.ses.up
	u.mu.Lock()
	known := u.kept.digests[cat.digest]
	admitted := known || u.kept.admit(len(text), p.now())
	u.mu.Unlock()
	switch {
	case known:
		return nil
	case !admitted:
		return &upstreamError{upstream: u.Name, what: "changes its tools more often, or has more of them, than is kept: try again later"}
	}
	if err := p.cfg.Archive.KeepCatalogue(ctx, cat.digest, []byte(text)); err != nil {
		return fmt.Errorf("keep the catalogue of upstream %s: %w", u.Name, err)
	}
	rec := x.record(audit.Catalogue)
	rec.Target, rec.TargetKind, rec.Catalogue = strconv.Itoa(len(cat.tools))+" tools", toolcall.NoKind, cat.digest
	if err := p.cfg.Record.Put(rec).Wait(ctx); err != nil {
		return unrecorded(err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.kept.digests) >= maxKeptDigests {
		clear(u.kept.digests)
	}
	u.kept.digests[cat.digest] = true
	return nil
}
