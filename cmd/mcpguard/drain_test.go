package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mcpguard/audit"
	"mcpguard/store"
)

// drainUpstream answers calls; one with "wait" in it, when it is told to; one with
// "flood" in it says more than anybody reads.
func drainUpstream(t *testing.T, waiting chan<- struct{}, release <-chan struct{}) string {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
		}
		text, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(text, &m) != nil {
			return
		}
		result := `{"resultType":"complete","content":[]}`
		switch {
		case m.Method == "tools/list":
			result = `{"tools":[{"name":"echo","inputSchema":{"type":"object"}}],"ttlMs":60000,"cacheScope":"private"}`
		case strings.Contains(string(text), "wait"):
			waiting <- struct{}{}
			<-release
		case strings.Contains(string(text), "flood"):
			w.Header().Set("Content-Type", "text/event-stream")
			line := `data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"` + strings.Repeat("x", 64<<10) + `"}}` + "\n\n"
			for range 1000 {
				if _, err := io.WriteString(w, line); err != nil {
					return
				}
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result) // mcpguard may be gone
	}))
	t.Cleanup(func() {
		up.CloseClientConnections()
		up.Close()
	})
	return up.URL
}

func drainCall(id int, what string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"echo","arguments":{"do":%q},"_meta":`+
		`{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`, id, what)
}

func sendCall(ctx context.Context, url, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	for name, value := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "echo"} {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK && err == nil {
		err = fmt.Errorf("status %d: %s", res.StatusCode, text)
	}
	return string(text), err
}

// At SIGTERM under load a call under way gets its answer, new ones are refused, the
// binary ends with 0 although a client does not read, and every answer that a
// client has, and every call that began, has its outcome in the record.
func TestTermUnderLoad(t *testing.T) {
	waiting, release := make(chan struct{}, 1), make(chan struct{})
	upstream := drainUpstream(t, waiting, release)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	guard := startServed(ctx, t, buildGuard(t), upstream, allowAll)
	url, listen := guard.url, guard.listen

	var mu sync.Mutex
	answers := 1
	began := make(chan struct{}, 1000)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for i := 0; i < 10_000; i++ {
				text, err := sendCall(ctx, url, drainCall(i, "work"))
				if err != nil {
					return // refused, or nobody listens any more
				}
				if !strings.Contains(text, `"result"`) {
					t.Errorf("an answer that is none: %s", text)
					return
				}
				mu.Lock()
				answers++
				mu.Unlock()
				select {
				case began <- struct{}{}:
				default:
				}
			}
		})
	}
	held := make(chan string, 1)
	go func() {
		text, err := sendCall(ctx, url, drainCall(2, "wait"))
		if err != nil {
			text = err.Error()
		}
		held <- text
	}()
	deaf, err := net.Dial("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp(t, deaf)
	flood := drainCall(3, "flood")
	if _, err := fmt.Fprintf(deaf, "POST /mcp HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nMcp-Protocol-Version: 2026-07-28\r\n"+
		"Mcp-Method: tools/call\r\nMcp-Name: echo\r\nContent-Length: %d\r\n\r\n%s", listen, len(flood), flood); err != nil {
		t.Fatal(err)
	}
	<-waiting
	for range 100 {
		<-began
	}
	begun := time.Now()
	if err := guard.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	clients.Wait() // nothing new is served
	close(release)
	if text := <-held; !strings.Contains(text, `"result"`) {
		t.Errorf("the call under way got %s", text)
	}
	select {
	case err := <-guard.ended:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(45 * time.Second):
		t.Fatal("it does not end")
	}
	t.Logf("ended after %v, with %d answers", time.Since(begun), answers)
	intents, outcomes := countCalls(t, guard.record)
	if outcomes < answers+1 || intents != outcomes { // the held one, too
		t.Errorf("%d calls began and %d have an outcome in the record; clients have %d answers", intents, outcomes, answers+1)
	}
}

func hangUp(t *testing.T, c io.Closer) {
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func countCalls(t *testing.T, url string) (intents, outcomes int) {
	t.Helper()
	r, err := store.OpenReader(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	for e, err := range r.Chain(t.Context(), "main", 0) {
		if err != nil {
			t.Fatal(err)
		}
		rec, err := audit.Decode(e)
		if err != nil {
			t.Fatal(err)
		}
		switch rec.Kind {
		case audit.Intent:
			intents++
		case audit.Outcome:
			outcomes++
		}
	}
	return intents, outcomes
}
