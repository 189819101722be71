package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/redact"
	"mcpguard/store/storetest"
	"mcpguard/toolcall"
)

func digest(b byte) (d toolcall.Digest) {
	for i := range d {
		d[i] = b
	}
	return d
}

// full is a record in which nothing is absent.
func full(t *testing.T) audit.Record {
	return audit.Record{
		Kind: audit.Intent, Session: newID(t), Call: newID(t), Task: newID(t), At: noon.Add(123456789),
		Caller: sam, Roles: []string{"everyone", "support"},
		ClientName: "probe \u202e\x1b[31m", ClientVersion: "1.2", ClientAddr: "127.0.0.1",
		Edge: "laptop", Era: "2025-11-25", Upstream: "crm", Method: "tools/call", Target: "get_customer", TargetKind: toolcall.Tool,
		Catalogue: "sha256:" + digest(1).String(), Definition: digest(2).String(), Policy: "sha256:" + digest(3).String(),
		Args: redact.Public(`{"id":9007199254740993,"q":"\u00e9\"x"}`), ArgsDigest: digest(4), ArgsSize: 41,
		Effect: toolcall.Allow, Rule: "support/allow/1", File: "policies/a b.yaml", Line: 12, Reason: redact.Public("because\nso"),
		Verdicts: "support/allow/1:id=T", Shadow: []string{"x/deny/1", "x/deny/2"}, Would: "deny",
		Outcome: toolcall.OutcomeToolError, Result: redact.Public(`[{"ok":false}]`), ResultDigest: digest(5), ResultSize: 14,
		Error: redact.Public("upstream said {no}"), Findings: []redact.Finding{{Profile: "pii", Path: "**.ssn", Surface: "structured", Count: 2}},
		Stages: []audit.Stage{{Name: "decide", Took: 3 * time.Microsecond}, {Name: "limit", Took: time.Millisecond}}, Durability: "strict",
	}
}

// kept puts a record and reads it back.
func kept(t *testing.T, m *storetest.Memory, r audit.Record) (audit.Record, audit.Entry) {
	t.Helper()
	log := open(t, m)
	put(t, log, r)
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var last audit.Entry
	for e, err := range m.Chain(t.Context(), "a", 0) {
		if err != nil {
			t.Fatal(err)
		}
		last = e
	}
	got, err := audit.Decode(last)
	if err != nil {
		t.Fatal(err)
	}
	return got, last
}

func TestARecordReadsAsItWasWritten(t *testing.T) {
	every := full(t)
	for name, change := range map[string]func(*audit.Record){
		"with everything":         func(*audit.Record) {},
		"with nothing but a kind": func(r *audit.Record) { *r = audit.Record{Kind: audit.Event, At: noon, Edge: "laptop"} },
		"policy names that are no digests": func(r *audit.Record) {
			r.Policy, r.Catalogue, r.Definition = "draft", strings.ToUpper(digest(10).String()), "="
		},
		"the other form of each digest": func(r *audit.Record) {
			r.Policy, r.Catalogue, r.Definition = digest(1).String(), digest(2).String(), "sha256:"+digest(3).String()
		},
		"names that are almost digests": func(r *audit.Record) {
			r.Policy, r.Catalogue, r.Definition = "sha256:", "sha256:"+strings.ToUpper(digest(10).String()), "sha256:sha256:"+digest(3).String()
		},
		"digests of nothing": func(r *audit.Record) {
			r.Policy, r.Catalogue = "sha256:"+digest(0).String(), digest(0).String()
		},
		"values that are no JSON": func(r *audit.Record) {
			r.Args, r.Result = redact.Public("{not json"), redact.Public("plain, \xffbroken"[:7])
		},
		"values that look like JSON": func(r *audit.Record) {
			r.Args, r.Reason = redact.Public(` {"padded":1} `), redact.Public(`[1]`)
		},
		"JSON over several lines": func(r *audit.Record) { r.Args = redact.Public("{\n \"a\": 1\n}") },
		"JSON scalars":            func(r *audit.Record) { r.Args, r.Result = redact.Public(`"text"`), redact.Public(`17`) },
		"JSON that repeats a key": func(r *audit.Record) { r.Args = redact.Public(`{"a":1,"a":2}`) },
	} {
		t.Run(name, func(t *testing.T) {
			want := every
			change(&want)
			got, e := kept(t, &storetest.Memory{}, want)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if !json.Valid(e.Body) || bytes.ContainsAny(e.Body, "\n\r") {
				t.Errorf("the body is not one line of JSON: %s", e.Body)
			}
		})
	}
}

func TestTheTimeOfPutStandsInForNone(t *testing.T) {
	got, _ := kept(t, &storetest.Memory{}, event("x"))
	if !got.At.Equal(noon) {
		t.Errorf("At is %v, want %v", got.At, noon)
	}
}

func TestStagesOfOneNameAreAddedUp(t *testing.T) {
	r := event("x")
	r.Stages = []audit.Stage{{Name: "redact", Took: 1500}, {Name: "decide", Took: 2000}, {Name: "redact", Took: 1700}}
	got, _ := kept(t, &storetest.Memory{}, r)
	if want := []audit.Stage{{Name: "redact", Took: 3000}, {Name: "decide", Took: 2000}}; !reflect.DeepEqual(got.Stages, want) {
		t.Errorf("got %v, want %v", got.Stages, want)
	}
}

// Names are beside the chain: in no body, and not in the reference either.
func TestABodyNamesNobody(t *testing.T) {
	var m storetest.Memory
	_, e := kept(t, &m, full(t))
	for _, name := range append([]string{sam.Person, sam.Subject, sam.Issuer + `"`}, sam.Act...) {
		if strings.Contains(string(e.Body), name) {
			t.Errorf("%q is in the body %s", name, e.Body)
		}
	}
	if e.Who.IsZero() || e.Identity.Person != sam.Person {
		t.Errorf("the entry is of %s, %q", e.Who, e.Identity.Person)
	}
	var other storetest.Memory
	if _, again := kept(t, &other, full(t)); again.Who == e.Who {
		t.Error("under another key the reference is the same: it is a bare hash of names")
	}
}

func TestCallersWhoDifferAnywhereHaveReferencesOfTheirOwn(t *testing.T) {
	var m storetest.Memory
	log := open(t, &m)
	callers := []toolcall.Caller{sam, sam, sam, sam, sam, sam, {Person: "a", Subject: "b", Issuer: "c"}, {Person: "ab", Subject: "", Issuer: "c"}}
	callers[1].Person, callers[2].Subject, callers[3].Issuer, callers[4].Client, callers[5].Act = "x", "x", "x", "x", []string{"x"}
	refs := map[audit.Ref]int{}
	for range 2 {
		for _, c := range callers {
			r := event("x")
			r.Caller = c
			put(t, log, r)
		}
	}
	for e, err := range m.Chain(t.Context(), "a", 0) {
		if err != nil {
			t.Fatal(err)
		}
		refs[e.Who]++
	}
	if len(refs) != len(callers) {
		t.Errorf("%d references for %d callers", len(refs), len(callers))
	}
	for ref, n := range refs {
		if n != 2 || ref.IsZero() {
			t.Errorf("reference %s stands %d times, want twice", ref, n)
		}
	}
}

func TestLongValuesAreKeptBesideTheRecord(t *testing.T) {
	long := redact.Public(`{"text":"` + strings.Repeat("words ", 4000) + `"}`) // 24 KB
	tooLong := redact.Public(strings.Repeat("ä", 40<<10))                      // 80 KiB
	var m storetest.Memory
	r := full(t)
	r.Args, r.Result = long, long
	got, e := kept(t, &m, r)
	if len(e.Body) > 2<<10 {
		t.Errorf("the body has %d bytes", len(e.Body))
	}
	if !got.Args.IsZero() || !got.Result.IsZero() || got.ArgsBlob.IsZero() || got.ArgsBlob != got.ResultBlob {
		t.Errorf("the values are not kept once beside the record: %v, %v", got.ArgsBlob, got.ResultBlob)
	}
	if err := got.Fetch(t.Context(), &m); err != nil || got.Args != long || got.Result != long {
		t.Errorf("fetched %d and %d bytes, %v; want %d each", got.Args.Len(), got.Result.Len(), err, long.Len())
	}
	if blob, err := m.Blob(t.Context(), got.ArgsBlob.String()); err != nil || len(blob) > long.Len()/10 {
		t.Errorf("%d bytes are kept of %d that compress well, %v", len(blob), long.Len(), err)
	}
	got.ArgsBlob[0] ^= 1
	if err := got.Fetch(t.Context(), &m); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("a blob that is not there: %v, want ErrNotFound", err)
	}

	r.Args, r.Result, r.ResultSize = tooLong, tooLong, tooLong.Len()
	got, e = kept(t, &m, r)
	if !got.ResultCut || got.Result.Len() != 1<<10 || !strings.HasPrefix(tooLong.String(), got.Result.String()) || got.ResultSize != tooLong.Len() {
		t.Errorf("of a result over the limit %d bytes are kept, cut: %v, size %d", got.Result.Len(), got.ResultCut, got.ResultSize)
	}
	if err := got.Fetch(t.Context(), &m); err != nil || got.Args != tooLong {
		t.Errorf("arguments are kept whole, whatever their size: %d bytes, %v", got.Args.Len(), err)
	}
	_ = e
}

func TestAHeadNeverCutsACharacter(t *testing.T) {
	r := full(t)
	r.Result = redact.Public("x" + strings.Repeat("ä", 40<<10)) // bytes 1023 and 1024 are one character
	got, _ := kept(t, &storetest.Memory{}, r)
	if got.Result.Len() != 1023 || !strings.HasSuffix(got.Result.String(), "ä") {
		t.Errorf("%d bytes are kept", got.Result.Len())
	}
}

func TestWhatThisFormatDoesNotKnowIsRefused(t *testing.T) {
	for body, want := range map[string]string{
		`{"v":2}`:                        "newer",
		`{"v":1.0}`:                      "format",
		`{"v":"1"}`:                      "format",
		`{}`:                             "format",
		`{"v":1,"zz":1}`:                 `member "zz": unknown`,
		`{"v":1,"v":1}`:                  "name",
		`{"v":1,"u":7}`:                  "wrong type",
		`{"v":1,"g":"support"}`:          "wrong type",
		`{"v":1,"g":[1]}`:                "wrong type",
		`{"v":1,"l":-1}`:                 "out of range",
		`{"v":1,"tk":256}`:               "out of range",
		`{"v":1,"an":1e3}`:               "invalid syntax",
		`{"v":1,"ad":"AAAA"}`:            "no digest",
		`{"v":1,"pol":"x"}`:              "no digest",
		`{"v":1,"pol_n":"x"}`:            "no digest",
		`{"v":1,"ad_n":"x"}`:             "unknown",
		`{"v":1,"fn":[["a","b","c"]]}`:   "wrong type",
		`{"v":1,"fn":[["a","b",1,1]]}`:   "wrong type",
		`{"v":1,"st":{"decide":"fast"}}`: "wrong type",
		`{"v":1,"a_s":{}}`:               "wrong type",
		`{"v":1`:                         "",
		``:                               "",
	} {
		_, err := audit.Decode(audit.Entry{Chain: "a", Seq: 7, Body: []byte(body)})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "decode entry 7 of chain a: ") {
			t.Errorf("%s: %v, want %q in it", body, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"v":1,"g":["support"],"a":{"id":7},"fn":[["p","x","y",1]],"st":{"decide":3},"pto":7}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := audit.Decode(audit.Entry{Kind: audit.Event, At: noon, Body: body})
		if err == nil && r.Kind != audit.Event {
			t.Errorf("decoded as %v", r.Kind)
		}
	})
}

// What a record takes beside arguments and result, in bytes: two of them are
// kept of every call.
func TestRecordsAreSmall(t *testing.T) {
	intent := audit.Record{Kind: audit.Intent, Session: newID(t), Call: newID(t),
		Caller: toolcall.Caller{Person: "sam@example.com", Subject: "nightly", Issuer: "token", Groups: []string{"support"}}, Roles: []string{"everyone", "support"},
		ClientName: "probe", ClientVersion: "1.2", ClientAddr: "127.0.0.1", Era: "2025-11-25", Upstream: "crm", Method: "tools/call",
		Target: "get_customer", TargetKind: toolcall.Tool, Catalogue: "sha256:" + digest(1).String(), Definition: digest(2).String(), Policy: "sha256:" + digest(3).String(),
		Args: redact.Public(`{}`), ArgsDigest: digest(4), ArgsSize: 700, Effect: toolcall.Allow, Rule: "support/allow/1", File: "policy.yaml", Line: 12,
		Stages: []audit.Stage{{Name: "decide", Took: 3000}}, Durability: "strict"}
	outcome := audit.Record{Kind: audit.Outcome, Session: intent.Session, Call: intent.Call, Outcome: toolcall.OutcomeOK,
		Result: redact.Public(`{}`), ResultDigest: digest(5), ResultSize: 1024,
		Findings: []redact.Finding{{Profile: "pii", Path: "**.ssn", Surface: "structured", Count: 2}}, Stages: intent.Stages}
	for _, c := range []struct {
		record audit.Record
		most   int
	}{{intent, 550}, {outcome, 200}} {
		if _, e := kept(t, &storetest.Memory{}, c.record); len(e.Body) > c.most {
			t.Errorf("%s: %d bytes, want at most %d: %s", c.record.Kind, len(e.Body), c.most, e.Body)
		}
	}
}

func TestPutAllocatesLittle(t *testing.T) {
	if raceDetector {
		t.Skip("SKIP: the race detector changes what is allocated")
	}
	var m storetest.Memory
	log := open(t, &m, func(c *audit.Config) { c.MaxQueue = 1 << 30 })
	release := m.Block()
	defer release()
	r := full(t)
	log.Put(r)
	if n := testing.AllocsPerRun(500, func() { log.Put(r) }); n > 4 {
		t.Errorf("%v allocations", n)
	}
}

func TestKindsHaveNames(t *testing.T) {
	names := map[string]bool{}
	for k := audit.NoKind; k <= audit.ToolChange; k++ {
		names[k.String()] = true
	}
	if len(names) != int(audit.ToolChange)+1 || names[""] {
		t.Errorf("the kinds are called %v", names)
	}
	if got := audit.Kind(99).String(); got != "kind(99)" {
		t.Errorf("kind 99 is called %q", got)
	}
}
