package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mcpguard/mcpproxy"
	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

func mustParse(t *testing.T, text string) toolcall.JSON {
	t.Helper()
	j, err := toolcall.Parse(text, toolcall.Limits{Bytes: len(text), Depth: 64})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// Hints of a server make a risk higher, never lower than what nothing is said of.
func TestRiskOfATool(t *testing.T) {
	for hints, want := range map[string]risk{
		`{}`:                                           mayDestroy,
		`{"readOnlyHint":false}`:                       mayDestroy,
		`{"readOnlyHint":"true"}`:                      mayDestroy,
		`{"destructiveHint":true}`:                     mayDestroy,
		`{"destructiveHint":false}`:                    mayChange,
		`{"readOnlyHint":true}`:                        saysItReads,
		`{"idempotentHint":true}`:                      mayDestroy,
		`{"destructiveHint":"false"}`:                  mayDestroy,
		`{"readOnlyHint":true,"destructiveHint":true}`: mayDestroy,
	} {
		if got := riskOf(mustParse(t, `{"name":"x","annotations":`+hints+`}`)); got != want {
			t.Errorf("%s: %d, want %d", hints, got, want)
		}
	}
}

// What an upstream calls its things stays within the comment that speaks of them, and
// a line without its # is a rule about this thing alone.
func TestBaselineOfHostileNames(t *testing.T) {
	names := []string{"*", "de*lete", "", "a\n  everyone: {allow: [\"*/*\"]}\n#", "\"}, {tool: \"*/*", "x # y", "\u202egnp", "\U0001F600", "tab\tbed", `back\slash`}
	d := definitions{upstream: "crm", lists: map[string][]toolcall.JSON{}}
	for _, name := range names {
		d.lists["tools"] = append(d.lists["tools"], toolcall.JSON{}.With("name", toolcall.Quote(name)))
		d.lists["resources"] = append(d.lists["resources"], toolcall.JSON{}.With("uri", toolcall.Quote(name)))
	}
	d.lists["resourceTemplates"] = []toolcall.JSON{mustParse(t, `{"uriTemplate":"file:///srv/{path}"}`), mustParse(t, `{"uriTemplate":"{scheme}://x"}`)}
	text := baseline([]definitions{d, {upstream: "gone", err: io.EOF}})
	p, err := toolpolicy.Compile("policy.yaml", []byte(text))
	if err != nil || len(p.Grants()) != 0 {
		t.Fatalf("the baseline has rules: %v, %v\n%s", p.Grants(), err, text)
	}
	rules := 0
	for line := range strings.Lines(text) {
		line, commented := strings.CutPrefix(strings.TrimRight(line, "\n"), "    #  - ")
		if strings.ContainsFunc(line, func(r rune) bool { return r < 0x20 || r > 0x7E }) {
			t.Errorf("a line with other characters than visible ASCII: %q", line)
		}
		if !commented || strings.HasPrefix(line, "# no rule") {
			continue
		}
		open, err := toolpolicy.Compile("policy.yaml", []byte("version: 1\nroles: {everyone: {allow:\n  - "+line+"\n}}\n"))
		if err != nil {
			open, err = toolpolicy.Compile("policy.yaml", []byte("version: 1\nroles:\n  everyone:\n    allow:\n      - "+line+"\n"))
		}
		if err != nil {
			if !strings.Contains(err.Error(), "control character") {
				t.Errorf("%s: %v", line, err)
			}
			continue
		}
		rules++
		if g := open.Grants(); len(g) != 1 || strings.HasSuffix(g[0].Selector, "*") != strings.Contains(line, "file:///srv/*") {
			t.Errorf("%s is %+v", line, g)
		}
	}
	if rules < 8 {
		t.Errorf("only %d lines are rules:\n%s", rules, text)
	}
}

// The lock file holds definitions byte for byte, with members that no client knows,
// from all pages, and its pins are those of a running guard.
func TestLockIsLossless(t *testing.T) {
	const first = `{"name":"a","x-unknown":{"big":12345678901234567890123,"order":["z","a"]},"inputSchema":{"type":"object"}}`
	const second = `{"name":"b","inputSchema":{"type":"object","x-more":1e2}}`
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Params struct{ Cursor string }
		}
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || len(m.ID) == 0 {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		var result string
		switch m.Method {
		case "initialize":
			result = `{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"prompts":{}},"serverInfo":{"name":"crm","version":"1"},"instructions":"Be kind."}`
		case "tools/list":
			if result = `{"tools":[` + first + `],"nextCursor":"more"}`; m.Params.Cursor != "" {
				result = `{"tools":[` + second + `]}`
			}
		case "prompts/list":
			result = `{"prompts":[{"name":"greet","x-unknown":1}]}`
		default:
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
	}))
	defer upstream.Close()
	cfg := mustLoad(t, "policy: policy.yaml\nupstreams: {crm: {url: "+upstream.URL+"}}\n", overrides{})
	all, err := askUpstreams(t.Context(), cfg, testEnvironment())
	if err != nil || all[0].err != nil {
		t.Fatalf("%v, %+v", err, all)
	}
	lock, err := lockOf(all)
	if err != nil {
		t.Fatal(err)
	}
	doc := mustParse(t, string(lock)).Member("crm")
	var got []string
	for e := doc.Member("tools").Elements(); e.Next(); {
		got = append(got, string(e.Value().AppendCanonical(nil)))
	}
	want := []string{string(mustParse(t, first).AppendCanonical(nil)), string(mustParse(t, second).AppendCanonical(nil))}
	if strings.Join(got, "\n") != strings.Join(want, "\n") || !strings.Contains(doc.Member("prompts").Text(), "x-unknown") {
		t.Errorf("the lock is\n%s", lock)
	}
	if _, err := toolpolicy.ReadCatalogue("lock", lock); err != nil {
		t.Error(err)
	}
	if _, err := mcpproxy.ParseLock(string(lock)); err != nil || !strings.Contains(string(lock), `"instructions": "Be kind."`) {
		t.Errorf("no lock of pins: %v\n%s", err, lock)
	}
}
