package audit

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// Decode reads an entry back. It refuses a body of another format, and one that
// holds anything that this format does not know.
func Decode(e Entry) (Record, error) {
	r, err := decode(e)
	if err != nil {
		return Record{}, fmt.Errorf("decode entry %d of chain %s: %w", e.Seq, e.Chain, err)
	}
	return r, nil
}

func decode(e Entry) (Record, error) {
	doc, err := toolcall.Parse(string(e.Body), toolcall.Limits{Bytes: len(e.Body), Depth: maxDepth})
	if err != nil {
		return Record{}, err
	}
	if v, err := intOf(doc.Member(keyVersion)); err != nil || v != formatVersion {
		return Record{}, fmt.Errorf("its format is not %d: a newer mcpguard may have written it", formatVersion)
	}
	r := Record{
		Kind: e.Kind, Effect: e.Effect, Outcome: e.Outcome, Session: e.Session, Call: e.Call, At: e.At,
		Caller: toolcall.Caller{Person: e.Identity.Person, Subject: e.Identity.Subject, Issuer: e.Identity.Issuer,
			Client: e.Identity.Client, Act: e.Identity.Act},
	}
	for m := doc.Members(); m.Next(); {
		if err := r.member(m.Name(), m.Value()); err != nil {
			return Record{}, fmt.Errorf("member %q: %w", m.Name(), err)
		}
	}
	return r, nil
}

var errUnknownMember = errors.New("unknown")

func (r *Record) member(key string, v toolcall.JSON) (err error) {
	if to := r.textMember(key); to != nil {
		*to, err = textOf(v)
		return err
	}
	if to := r.cleanMember(key); to != nil {
		*to, err = cleanOf(key, v)
		return err
	}
	switch key {
	case keyVersion, keyMACKey:
		return nil // of the format and of the digests
	case keyGroups:
		r.Caller.Groups, err = textsOf(v)
	case keyRoles:
		r.Roles, err = textsOf(v)
	case keyShadow:
		r.Shadow, err = textsOf(v)
	case keyTask:
		r.Task, err = idOf(v)
	case keyTargetKind:
		err = setInt(v, math.MaxUint8, func(n int64) { r.TargetKind = toolcall.Kind(n) })
	case keyArgsSize:
		err = setInt(v, math.MaxInt, func(n int64) { r.ArgsSize = int(n) })
	case keyResultSize:
		err = setInt(v, math.MaxInt, func(n int64) { r.ResultSize = int(n) })
	case keyLine:
		err = setInt(v, math.MaxInt, func(n int64) { r.Line = int(n) })
	case keyResultCut:
		err = setInt(v, 1, func(int64) { r.ResultCut = true })
	case keyPurgedTo:
		err = setInt(v, math.MaxInt64, func(n int64) { r.Purge.UpTo = uint64(n) })
	case keyPurgedBefore:
		err = setInt(v, math.MaxInt64, func(n int64) { r.Purge.Before = time.Unix(0, n).UTC() })
	case keyPurgedHash:
		r.Purge.Hash, err = digestOf(v)
	case keyCatalogue, keyDefinition, keyPolicy:
		*r.textMember(key + asText), err = digestTextOf("", v)
	case keyCatalogue + asNamed, keyDefinition + asNamed, keyPolicy + asNamed:
		*r.textMember(strings.TrimSuffix(key, asNamed) + asText), err = digestTextOf(sha256Name, v)
	case keyArgsDigest:
		r.ArgsDigest, err = digestOf(v)
	case keyResultDigest:
		r.ResultDigest, err = digestOf(v)
	case keyArgs + asBlob:
		r.ArgsBlob, err = digestOf(v)
	case keyResult + asBlob:
		r.ResultBlob, err = digestOf(v)
	case keyFindings:
		r.Findings, err = findingsOf(v)
	case keyStages:
		r.Stages, err = stagesOf(v)
	default:
		return errUnknownMember
	}
	return err
}

func (r *Record) textMember(key string) *string {
	switch key {
	case keyEdge:
		return &r.Edge
	case keyClientName:
		return &r.ClientName
	case keyClientVersion:
		return &r.ClientVersion
	case keyClientAddr:
		return &r.ClientAddr
	case keyEra:
		return &r.Era
	case keyUpstream:
		return &r.Upstream
	case keyMethod:
		return &r.Method
	case keyTarget:
		return &r.Target
	case keyCatalogue + asText:
		return &r.Catalogue
	case keyDefinition + asText:
		return &r.Definition
	case keyPolicy + asText:
		return &r.Policy
	case keyRule:
		return &r.Rule
	case keyFile:
		return &r.File
	case keyVerdicts:
		return &r.Verdicts
	case keyWould:
		return &r.Would
	case keyDurability:
		return &r.Durability
	}
	return nil
}

func (r *Record) cleanMember(key string) *redact.Clean {
	switch strings.TrimSuffix(key, asText) {
	case keyArgs:
		return &r.Args
	case keyReason:
		return &r.Reason
	case keyResult:
		return &r.Result
	case keyError:
		return &r.Error
	}
	return nil
}

// Fetch completes a decoded record with the long values that are kept beside
// it. The decoded size of one value is bounded by 64 MiB.
func (r *Record) Fetch(ctx context.Context, from BlobReader) error {
	for _, long := range []struct {
		at *toolcall.Digest
		to *redact.Clean
	}{{&r.ArgsBlob, &r.Args}, {&r.ResultBlob, &r.Result}} {
		if long.at.IsZero() {
			continue
		}
		text, err := fetch(ctx, from, long.at.String())
		if err != nil {
			return fmt.Errorf("fetch a value of a record: %w", err)
		}
		*long.to = redact.Public(text)
	}
	return nil
}

// maxFetched bounds what a blob may grow to.
const maxFetched = 64 << 20

func fetch(ctx context.Context, from BlobReader, digest string) (string, error) {
	data, err := from.Blob(ctx, digest)
	if err != nil {
		return "", err
	}
	z, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxFetched), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return "", err
	}
	defer z.Close()
	text, err := z.DecodeAll(data, nil)
	return string(text), err
}

var errShape = errors.New("of a wrong type")

func textOf(v toolcall.JSON) (string, error) {
	s, ok := v.Str()
	if !ok {
		return "", errShape
	}
	return s, nil
}

func textsOf(v toolcall.JSON) (ss []string, err error) {
	if v.Type() != toolcall.ArrayType {
		return nil, errShape
	}
	for e := v.Elements(); e.Next(); {
		s, err := textOf(e.Value())
		if err != nil {
			return nil, err
		}
		ss = append(ss, s)
	}
	return ss, nil
}

func intOf(v toolcall.JSON) (int64, error) {
	if v.Type() != toolcall.NumberType {
		return 0, errShape
	}
	return strconv.ParseInt(v.Text(), 10, 64)
}

func setInt(v toolcall.JSON, most int64, set func(int64)) error {
	n, err := intOf(v)
	if err != nil {
		return err
	}
	if n < 0 || n > most {
		return fmt.Errorf("%d is out of range", n)
	}
	set(n)
	return nil
}

func idOf(v toolcall.JSON) (toolcall.ID, error) {
	s, err := textOf(v)
	if err != nil {
		return toolcall.ID{}, err
	}
	return toolcall.ParseID(s)
}

func digestOf(v toolcall.JSON) (d toolcall.Digest, err error) {
	s, err := textOf(v)
	if err != nil {
		return d, err
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(d) {
		return d, errors.New("no digest")
	}
	return toolcall.Digest(b), nil
}

func digestTextOf(name string, v toolcall.JSON) (string, error) {
	d, err := digestOf(v)
	return name + d.String(), err
}

// cleanOf reads what was clean when it was written, and is so still.
func cleanOf(key string, v toolcall.JSON) (redact.Clean, error) {
	if !strings.HasSuffix(key, asText) {
		return redact.Public(v.Text()), nil
	}
	s, err := textOf(v)
	return redact.Public(s), err
}

func findingsOf(v toolcall.JSON) (fs []redact.Finding, err error) {
	for e := v.Elements(); e.Next(); {
		var parts []toolcall.JSON
		for p := e.Value().Elements(); p.Next(); {
			parts = append(parts, p.Value())
		}
		if len(parts) != 4 {
			return nil, errShape
		}
		var f redact.Finding
		for i, to := range []*string{&f.Profile, &f.Path, &f.Surface} {
			if *to, err = textOf(parts[i]); err != nil {
				return nil, err
			}
		}
		if err := setInt(parts[3], math.MaxInt32, func(n int64) { f.Count = int(n) }); err != nil {
			return nil, err
		}
		fs = append(fs, f)
	}
	return fs, nil
}

func stagesOf(v toolcall.JSON) (ss []Stage, err error) {
	for m := v.Members(); m.Next(); {
		us, err := intOf(m.Value())
		if err != nil {
			return nil, err
		}
		ss = append(ss, Stage{Name: m.Name(), Took: time.Duration(us) * time.Microsecond})
	}
	return ss, nil
}
