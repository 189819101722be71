package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestResultsAreChecked(t *testing.T) {
	good := `{"jsonrpc":"2.0","id":7,"result":{"structuredContent":{"marker":"m-1-7"}}}`
	for _, c := range []struct {
		name, body string
		size       int
		guarded    bool
		want       string // in the error; empty: none
	}{
		{"as it should be", good, 10, true, ""},
		{"of another call", strings.Replace(good, `"id":7`, `"id":8`, 1), 10, false, "something else"},
		{"without the marker", strings.Replace(good, "m-1-7", "m-1-6", 1), 10, false, "marker"},
		{"cut off", good, 1000, false, "came back of 1000"},
		{"an error", `{"jsonrpc":"2.0","id":7,"error":{"code":-32602}}`, 10, false, "failed"},
		{"a denial", `{"jsonrpc":"2.0","id":7,"result":{"isError":true,"content":[]}}`, 10, false, "failed"},
		{"a secret direct", strings.Replace(good, "}}}", `,"ssn":"078-05-000001"}}}`, 1), 10, false, ""},
		{"a secret through a guard", strings.Replace(good, "}}}", `,"ssn":"078-05-000001"}}}`, 1), 10, true, "secret"},
	} {
		err := checkResult([]byte(c.body), 7, "m-1-7", c.size, c.guarded)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestListsAreChecked(t *testing.T) {
	answer := func(search, admin int) []byte {
		tools := searchTools(search + hiddenTools)
		tools = append(tools[:search], tools[len(tools)-admin:]...)
		return fmt.Appendf(nil, `{"id":1,"result":{"tools":[%s]}}`, strings.Join(tools, ","))
	}
	for _, c := range []struct {
		name    string
		body    []byte
		guarded bool
		ok      bool
	}{
		{"all of it direct", answer(180, hiddenTools), false, true},
		{"filtered by a guard", answer(180, 0), true, true},
		{"not filtered by a guard", answer(180, hiddenTools), true, false},
		{"filtered without one", answer(180, 0), false, false},
		{"too short", answer(179, 0), true, false},
		{"no list", []byte(`{"error":{}}`), true, false},
	} {
		if err := checkList(c.body, 200, c.guarded); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// An agent goes on with a new connection after one that failed or was closed,
// and says what the server said.
func TestAgentReconnects(t *testing.T) {
	answers := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answers++
		switch answers {
		case 1:
			http.Error(w, "try again", http.StatusServiceUnavailable)
		case 2:
			w.Header().Set("Connection", "close")
			fmt.Fprint(w, `{"id":2,"result":{"marker":"m-0-2"}}`)
		default:
			fmt.Fprint(w, `{"id":3,"result":{"marker":"m-0-3"}}`)
		}
	}))
	defer server.Close()
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	a := newAgent(&contender{name: nameDirect, base: base, token: "bearer"}, 0, modernVersion, benchPath)
	if err := a.call(0); err == nil || !strings.Contains(err.Error(), "status 503: try again") {
		t.Errorf("the first answer: %v, want status 503", err)
	}
	for range 2 {
		if err := a.call(0); err != nil {
			t.Error(err)
		}
	}
	if err := a.close(); err != nil {
		t.Error(err)
	}
}
