package mcpproxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"mcpguard/audit"
	"mcpguard/mcpproxy"
)

const batchPolicy = `version: 1
roles: {everyone: {redact: [pii], allow: ["crm/*"]}}
redactions: {pii: {paths: ["**.ssn"], replace: mask}}
`

// batcher is an upstream whose answer to a call is a batch.
func batcher(t *testing.T, say func(w http.ResponseWriter, batch string)) *peer {
	up := newPeer(t)
	up.on["tools/call"] = func(w http.ResponseWriter, m heard) {
		say(w, `[`+m.result(`{"content":[],"structuredContent":{"ssn":"123-45-6789"}}`)+`,`+
			`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":{"ssn":"123-45-6789"}}}]`)
	}
	return up
}

func asJSON(w http.ResponseWriter, batch string) { sayJSON(w, batch) }

func asEvent(w http.ResponseWriter, batch string) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = fmt.Fprintf(w, "id: 7\ndata: %s\n\n", batch) // the proxy may be gone by now
}

// In a session of 2025-03-26 a server may answer with a batch. Each of its messages
// is redacted and passed on as if it had come alone.
func TestBatchesOfAnUpstream(t *testing.T) {
	for shape, say := range map[string]func(http.ResponseWriter, string){"json": asJSON, "event": asEvent} {
		t.Run(shape, func(t *testing.T) {
			r := newRig(t, setup{policy: batchPolicy, upstreams: []mcpproxy.Upstream{batcher(t, say).upstream("crm")}})
			got := batching(r).call("1", "echo", `{}`)
			all := got.messages()
			if len(all) != 2 || !strings.Contains(all[0], "notifications/message") || got.get("result.structuredContent.ssn").Str == "" {
				t.Fatalf("the client got %q", all)
			}
			if strings.Contains(got.body, "123-45-6789") {
				t.Errorf("a secret in a batch reached the client: %s", got.body)
			}
			if said := r.outcomes(); said != "ok" {
				t.Errorf("recorded: %s", said)
			}
		})
	}
}

// Over stdio as well, and the process lives on.
func TestBatchesOfAServerProcess(t *testing.T) {
	r := newRig(t, setup{policy: batchPolicy, upstreams: []mcpproxy.Upstream{stdioUpstream(t, "crm", "standard")}})
	a := batching(r)
	got := a.call("1", "echo", `{"text":"batch"}`)
	if got.get("result.structuredContent.text").Str != "batch" {
		t.Fatal(got)
	}
	if got := a.call("2", "echo", `{"text":"afterwards"}`); got.get("result.structuredContent.text").Str != "afterwards" {
		t.Errorf("the next call: %s", got)
	}
}

// Where the revision has no batches, and where one cannot be read, the call has
// failed, and the record says so. Nothing of it is passed on.
func TestBatchesOfAnUpstreamThatAreNone(t *testing.T) {
	result := `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`
	for name, c := range map[string]struct {
		begin func(*rig) *agent
		batch string
	}{
		"of another revision":  {func(r *rig) *agent { return r.legacy("sam", "/mcp") }, `[` + result + `]`},
		"empty":                {batching, `[]`},
		"with what is none":    {batching, `[` + result + `,7]`},
		"in a batch":           {batching, `[[` + result + `]]`},
		"too long":             {batching, batchOf(65, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"$n"}}`)},
		"with a folded member": {batching, `[{"jsonrpc":"2.0","id":1,"result":{"content":[],"Content":[{"type":"text","text":"x"}]}}]`},
	} {
		for shape, say := range map[string]func(http.ResponseWriter, string){"json": asJSON, "event": asEvent} {
			t.Run(name+"/"+shape, func(t *testing.T) {
				up := newPeer(t)
				up.on["tools/call"] = func(w http.ResponseWriter, m heard) { say(w, c.batch) }
				r := newRig(t, setup{policy: batchPolicy, upstreams: []mcpproxy.Upstream{up.upstream("crm")}})
				got := c.begin(r).call("1", "echo", `{}`)
				if len(got.messages()) != 1 || !strings.Contains(got.reason(), "cannot be read") {
					t.Errorf("the client got %s", got)
				}
				outcomes := r.recorded(audit.Outcome)
				if len(outcomes) != 1 || r.outcomes() == "ok" {
					t.Errorf("recorded: %s", r.outcomes())
				}
			})
		}
	}
}
