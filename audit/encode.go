package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// encoder turns records into entries. It is safe for concurrent use.
type encoder struct {
	cfg     Config
	bodies  sync.Pool // *body
	refs    refCache
	shrinkW *zstd.Encoder
}

func newEncoder(cfg Config) (*encoder, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(256<<10))
	if err != nil {
		return nil, fmt.Errorf("prepare compression: %w", err)
	}
	return &encoder{cfg: cfg, shrinkW: w, refs: refCache{keys: cfg.Keys}}, nil
}

func (x *encoder) scratch() *body {
	w, _ := x.bodies.Get().(*body)
	if w == nil {
		w = &body{}
	}
	return w
}

func (x *encoder) release(w *body) {
	if cap(w.b) <= keepRoom {
		x.bodies.Put(w)
	}
}

// entry encodes r. The body lies in w until w is released.
func (x *encoder) entry(w *body, r *Record) (Entry, error) {
	if r.Kind == NoKind || int(r.Kind) >= len(kindNames) {
		return Entry{}, fmt.Errorf("it has no kind")
	}
	e := Entry{
		Chain:    x.cfg.Chain,
		Kind:     r.Kind,
		Effect:   r.Effect,
		Outcome:  r.Outcome,
		Session:  r.Session,
		Call:     r.Call,
		At:       r.At.UTC(),
		Upstream: r.Upstream,
		Client:   r.ClientName,
	}
	if !r.Caller.IsZero() || r.Caller.Person != "" {
		e.Who = x.refs.of(r.Caller)
		e.Identity = Identity{Person: r.Caller.Person, Subject: r.Caller.Subject, Issuer: r.Caller.Issuer,
			Client: r.Caller.Client, Act: r.Caller.Act}
	}
	w.b = strconv.AppendInt(append(w.b[:0], `{"`+keyVersion+`":`...), formatVersion, 10)
	x.who(w, r)
	x.what(w, r)
	x.decision(w, r)
	x.outcome(w, r)
	if r.Kind == Purged {
		w.int(keyPurgedTo, int64(r.Purge.UpTo))
		w.digest(keyPurgedHash, r.Purge.Hash)
		if !r.Purge.Before.IsZero() {
			w.int(keyPurgedBefore, r.Purge.Before.UnixNano())
		}
	}
	e.Blobs = x.long(w, r)
	w.b = append(w.b, '}')
	e.Body = w.b
	return e, nil
}

func (x *encoder) who(w *body, r *Record) {
	if r.Kind != Outcome { // its intent has it
		w.text(keyEdge, x.cfg.Edge)
	}
	w.texts(keyGroups, r.Caller.Groups)
	w.texts(keyRoles, r.Roles)
	w.text(keyClientName, r.ClientName)
	w.text(keyClientVersion, r.ClientVersion)
	w.text(keyClientAddr, r.ClientAddr)
}

func (x *encoder) what(w *body, r *Record) {
	w.text(keyEra, r.Era)
	w.text(keyUpstream, r.Upstream)
	w.text(keyMethod, r.Method)
	w.int(keyTargetKind, int64(r.TargetKind))
	w.text(keyTarget, r.Target)
	if !r.Task.IsZero() {
		w.text(keyTask, r.Task.String())
	}
	w.digestText(keyCatalogue, r.Catalogue)
	w.digestText(keyDefinition, r.Definition)
	w.digestText(keyPolicy, r.Policy)
	w.digest(keyArgsDigest, r.ArgsDigest)
	w.int(keyArgsSize, int64(r.ArgsSize))
}

func (x *encoder) decision(w *body, r *Record) {
	w.text(keyRule, r.Rule)
	w.text(keyFile, r.File)
	w.int(keyLine, int64(r.Line))
	w.clean(keyReason, r.Reason)
	w.text(keyVerdicts, r.Verdicts)
	w.texts(keyShadow, r.Shadow)
	w.text(keyWould, r.Would)
}

func (x *encoder) outcome(w *body, r *Record) {
	w.digest(keyResultDigest, r.ResultDigest)
	w.int(keyResultSize, int64(r.ResultSize))
	w.clean(keyError, r.Error)
	w.findings(r.Findings)
	w.stages(r.Stages)
	w.text(keyDurability, r.Durability)
	if !r.ArgsDigest.IsZero() || !r.ResultDigest.IsZero() {
		w.text(keyMACKey, x.cfg.Keys.MACKeyID())
	}
}

// resultHead is how many bytes are kept of a result over MaxResult.
const resultHead = 1 << 10

// long writes arguments and result, which may be too long for a body.
func (x *encoder) long(w *body, r *Record) (blobs []Blob) {
	if r.Args.Len() <= x.cfg.MaxInline {
		w.clean(keyArgs, r.Args)
	} else {
		blobs = append(blobs, x.blob(w, keyArgs, "args", r.Args))
	}
	switch n := r.Result.Len(); {
	case n > x.cfg.MaxResult:
		w.key(keyResult, asText)
		w.b = toolcall.AppendQuoted(w.b, head(r.Result.String(), resultHead))
		w.int(keyResultCut, 1)
	case n > x.cfg.MaxInline:
		blobs = append(blobs, x.blob(w, keyResult, "result", r.Result))
	default:
		w.clean(keyResult, r.Result)
	}
	return blobs
}

// macBlob is the purpose of the digests that blobs are kept under.
const macBlob = "record blob"

func (x *encoder) blob(w *body, key, kind string, c redact.Clean) Blob {
	text := []byte(c.String())
	d := x.cfg.Keys.MAC(macBlob, text)
	w.digest(key+asBlob, d)
	return Blob{Kind: kind, Digest: d.String(), Data: x.shrinkW.EncodeAll(text, make([]byte, 0, len(text)/4))}
}

// head is the first n bytes of s, or a little less, so that no character is cut.
func head(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// tombstone encodes a record for keeping.
func (x *encoder) tombstone(r *Record) (Entry, error) {
	w := x.scratch()
	defer x.release(w)
	e, err := x.entry(w, r)
	e.Body = slices.Clone(e.Body)
	return e, err
}

// refCache remembers the references of callers that were seen lately.
type refCache struct {
	keys Keys
	mu   sync.RWMutex
	seen map[caller]Ref
}

// caller is what of a toolcall.Caller an identity is made of.
type caller struct{ person, subject, issuer, client, act string }

// maxRefs bounds the cache; beyond it the cache starts anew.
const maxRefs = 8192

// macIdentity is the purpose of references to identities.
const macIdentity = "record identity"

func (c *refCache) of(who toolcall.Caller) Ref {
	key := caller{who.Person, who.Subject, who.Issuer, who.Client, ""}
	if len(who.Act) > 0 {
		key.act = strings.Join(who.Act, "\x00")
	}
	c.mu.RLock()
	ref, ok := c.seen[key]
	c.mu.RUnlock()
	if ok {
		return ref
	}
	d := c.keys.MAC(macIdentity, []byte(key.person), []byte(key.subject), []byte(key.issuer), []byte(key.client), []byte(key.act))
	copy(ref[:], d[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil || len(c.seen) >= maxRefs {
		c.seen = map[caller]Ref{}
	}
	c.seen[key] = ref
	return ref
}
