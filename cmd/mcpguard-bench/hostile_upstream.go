package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// askName is the tool whose server asks the user something, and waits.
const askName = "ask"

const askTool = `{"name":"` + askName + `","description":"Asks.","inputSchema":{"type":"object"}}`

// hostileUpstream is the fixture with what an attack needs beside it: a tool
// that asks and waits, and a session's own stream.
type hostileUpstream struct{ *upstream }

func newHostileUpstream() hostileUpstream {
	u := newUpstream(0)
	u.lists[benchPath] = toolList(echoTool, askTool)
	return hostileUpstream{u}
}

func (u hostileUpstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		wait(w, r, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"hello"}}`)
		return
	case http.MethodPost:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the proxy is gone: nobody is left to tell
		}
		if bytes.Contains(body, []byte(`"name":"`+askName+`"`)) {
			wait(w, r, fmt.Sprintf(`{"jsonrpc":"2.0","id":"q-%p","method":"elicitation/create","params":{"message":"which?","requestedSchema":{"type":"object","properties":{}}}}`, r))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	u.upstream.ServeHTTP(w, r)
}

// wait says one thing on an event stream that stays open until the other side
// closes it.
func wait(w http.ResponseWriter, r *http.Request, message string) {
	w.Header().Set("Content-Type", "text/event-stream")
	if _, err := io.WriteString(w, "data: "+message+"\n\n"); err != nil {
		return // the proxy is gone: nobody is left to tell
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	<-r.Context().Done()
}
