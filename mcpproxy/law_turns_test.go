package mcpproxy_test

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidwall/sjson"

	"mcpguard/mcpproxy"
)

// Law 14: PostgreSQL's parser reads one text at a time. Whoever sends many long ones,
// in many calls or many in one, does not make another caller wait for all of them.
func TestLawJudgementTakesTurns(t *testing.T) {
	const policy = `version: 1
roles:
  all:
    groups: [support, finance]
    allow:
      - {tool: crm/echo, args: {text: {each: {sql: {dialect: postgres, statements: [select], tables: [a]}}}}}
`
	r := newRig(t, setup{policy: policy, upstreams: []mcpproxy.Upstream{newPeer(t).upstream("crm")}})
	sam, fran := r.legacy("sam", "/mcp"), r.legacy("fran", "/mcp")
	args := func(texts ...string) string {
		json, err := sjson.Set("{}", "text", texts)
		if err != nil {
			t.Fatal(err)
		}
		return json
	}
	statement := "SELECT 1 FROM a" + strings.Repeat(",a", 16_000)
	long, longer, short := args(statement), args(slices.Repeat([]string{statement}, 15)...), args("SELECT 1 FROM a")
	const flood = 20
	var answered atomic.Int64
	first := make(chan struct{})
	var once sync.Once
	var sent sync.WaitGroup
	for i := range flood {
		sent.Go(func() {
			if got := sam.call(strconv.Itoa(i+1), "echo", long); got.reason() != "" {
				t.Errorf("a long statement: %s", got)
			}
			answered.Add(1)
			once.Do(func() { close(first) })
		})
	}
	<-first
	if got := fran.call("1", "echo", short); got.reason() != "" {
		t.Errorf("a short statement: %s", got)
	}
	if n := answered.Load(); n > flood/2 {
		t.Errorf("it waited for %d of another caller's %d", n, flood)
	}
	sent.Wait()

	// One call may take long, and others' go on between its texts.
	var over atomic.Bool
	sent.Go(func() {
		if got := sam.call("1", "echo", longer); got.reason() != "" {
			t.Errorf("many statements: %s", got)
		}
		over.Store(true)
	})
	during := 0
	for !over.Load() {
		if got := fran.call("1", "echo", short); got.reason() != "" {
			t.Errorf("a short statement: %s", got)
		}
		during++
	}
	if during < 3 {
		t.Errorf("%d calls were answered during another caller's one", during)
	}
	sent.Wait()
}
