package audit

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// formatVersion is the format of bodies and of what the hash covers. A reader
// refuses every other.
const formatVersion = 1

// A body is one line of JSON: an object whose members are absent where they
// would be empty. What the columns of an Entry hold is not in it.
const (
	keyVersion       = "v"    // the format
	keyEdge          = "e"    // Config.Edge
	keyMACKey        = "mk"   // id of the key of all keyed digests of the record
	keyGroups        = "g"    // of the caller, as the issuer named them
	keyRoles         = "r"    //
	keyClientName    = "cn"   //
	keyClientVersion = "cv"   //
	keyClientAddr    = "ca"   //
	keyEra           = "era"  //
	keyUpstream      = "u"    //
	keyMethod        = "m"    //
	keyTargetKind    = "tk"   // the number of the toolcall.Kind
	keyTarget        = "t"    //
	keyTask          = "tc"   // the id of a call
	keyCatalogue     = "cat"  // digest, see body.digestText
	keyDefinition    = "def"  // digest
	keyPolicy        = "pol"  // digest
	keyArgs          = "a"    // text, see body.clean
	keyArgsDigest    = "ad"   // base64url
	keyArgsSize      = "an"   //
	keyRule          = "ru"   //
	keyFile          = "f"    //
	keyLine          = "l"    //
	keyReason        = "why"  //
	keyVerdicts      = "vd"   //
	keyShadow        = "sh"   //
	keyWould         = "wd"   // deny or approve
	keyResult        = "res"  // text
	keyResultCut     = "cut"  // 1: only the head of the result
	keyResultDigest  = "rd"   //
	keyResultSize    = "rn"   //
	keyError         = "err"  //
	keyFindings      = "fn"   // [[profile, path, surface, count], ...]
	keyStages        = "st"   // {stage: microseconds, ...}
	keyDurability    = "du"   //
	keyPurgedTo      = "pto"  // sequence number
	keyPurgedHash    = "ph"   // base64url
	keyPurgedBefore  = "pbef" // ns since 1970
)

// Behind some keys stands another form of the value.
const (
	asText  = "_s" // a JSON string, where the plain key has a JSON value or a digest
	asBlob  = "_b" // the base64url keyed digest of a blob, compressed with zstd
	asNamed = "_n" // a base64url digest, whose text begins with sha256Name
)

// sha256Name stands before the hexadecimal digits of digests that say what they
// are.
const sha256Name = "sha256:"

// body appends members to the body of a record.
type body struct{ b []byte }

func (w *body) key(parts ...string) {
	w.b = append(w.b, ',', '"')
	for _, p := range parts {
		w.b = append(w.b, p...)
	}
	w.b = append(w.b, '"', ':')
}

func (w *body) text(key, s string) {
	if s != "" {
		w.key(key)
		w.b = toolcall.AppendQuoted(w.b, s)
	}
}

func (w *body) int(key string, n int64) {
	if n != 0 {
		w.key(key)
		w.b = strconv.AppendInt(w.b, n, 10)
	}
}

func (w *body) texts(key string, ss []string) {
	if len(ss) == 0 {
		return
	}
	w.key(key)
	w.b = append(w.b, '[')
	for i, s := range ss {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = toolcall.AppendQuoted(w.b, s)
	}
	w.b = append(w.b, ']')
}

func (w *body) digest(key string, d toolcall.Digest) {
	if !d.IsZero() {
		w.key(key)
		w.b = append(w.b, '"')
		w.b = base64.RawURLEncoding.AppendEncode(w.b, d[:])
		w.b = append(w.b, '"')
	}
}

// digestText keeps a hexadecimal SHA-256, with or without sha256Name, in its
// shorter form, and any other text as it is.
func (w *body) digestText(key, s string) {
	digits, named := strings.CutPrefix(s, sha256Name)
	d, ok := parseDigest(digits)
	switch {
	case !ok:
		w.text(key+asText, s)
	case named:
		w.digest(key+asNamed, d)
	default:
		w.digest(key, d)
	}
}

// parseDigest reads what Digest.String wrote; ok is false for other text, and
// for the zero digest, which stands for none.
func parseDigest(s string) (d toolcall.Digest, ok bool) {
	var digits [2 * len(d)]byte // on the stack
	if len(s) != len(digits) || strings.ToLower(s) != s {
		return d, false
	}
	copy(digits[:], s)
	_, err := hex.Decode(d[:], digits[:])
	return d, err == nil && !d.IsZero()
}

// maxDepth is deeper than any message that is let in, and what bodies add.
const maxDepth = 1024

// clean keeps a value that is JSON as JSON, so that a body reads without
// unescaping, and everything else as a string. A body stays one line.
func (w *body) clean(key string, c redact.Clean) {
	if c.IsZero() {
		return
	}
	text := c.String()
	if isJSONLine(text) {
		w.key(key)
		w.b = append(w.b, text...)
		return
	}
	w.key(key, asText)
	w.b = toolcall.AppendQuoted(w.b, text)
}

func isJSONLine(text string) bool {
	if text == "" || (text[0] != '{' && text[0] != '[') || strings.ContainsAny(text, "\n\r") {
		return false
	}
	j, err := toolcall.Parse(text, toolcall.Limits{Bytes: len(text), Depth: maxDepth - 2})
	return err == nil && j.Len() == len(text)
}

func (w *body) findings(fs []redact.Finding) {
	if len(fs) == 0 {
		return
	}
	w.key(keyFindings)
	w.b = append(w.b, '[')
	for i, f := range fs {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = toolcall.AppendQuoted(append(w.b, '['), f.Profile)
		w.b = toolcall.AppendQuoted(append(w.b, ','), f.Path)
		w.b = toolcall.AppendQuoted(append(w.b, ','), f.Surface)
		w.b = append(strconv.AppendInt(append(w.b, ','), int64(f.Count), 10), ']')
	}
	w.b = append(w.b, ']')
}

// stages keeps how long stages took; of two with one name, the sum.
func (w *body) stages(ss []Stage) {
	if len(ss) == 0 {
		return
	}
	w.key(keyStages)
	w.b = append(w.b, '{')
	first := true
	for i, s := range ss {
		if stageBefore(ss[:i], s.Name) {
			continue
		}
		took := s.Took
		for _, again := range ss[i+1:] {
			if again.Name == s.Name {
				took += again.Took
			}
		}
		if !first {
			w.b = append(w.b, ',')
		}
		first = false
		w.b = toolcall.AppendQuoted(w.b, s.Name)
		w.b = strconv.AppendInt(append(w.b, ':'), int64(took/time.Microsecond), 10)
	}
	w.b = append(w.b, '}')
}

func stageBefore(ss []Stage, name string) bool {
	for _, s := range ss {
		if s.Name == name {
			return true
		}
	}
	return false
}
