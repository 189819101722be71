package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// served is the fixture behind an address, seen directly or through the floor.
func served(t *testing.T, throughFloor bool) *contender {
	t.Helper()
	server := httptest.NewServer(newUpstream(listedTools))
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if !throughFloor {
		return &contender{name: nameDirect, base: base}
	}
	floor := httptest.NewServer(newFloor(base))
	t.Cleanup(floor.Close)
	if base, err = url.Parse(floor.URL); err != nil {
		t.Fatal(err)
	}
	return &contender{name: nameFloor, base: base}
}

func TestFixtureServesBothEras(t *testing.T) {
	for _, version := range []string{legacyVersion, modernVersion} {
		for _, throughFloor := range []bool{false, true} {
			to := served(t, throughFloor)
			t.Run(version+"/"+to.name, func(t *testing.T) {
				a := newAgent(to, 3, version, benchPath)
				if err := a.open(); err != nil {
					t.Fatal(err)
				}
				if (a.session == "") != (version == modernVersion) {
					t.Errorf("the session in %s is %q", version, a.session)
				}
				for _, size := range []int{0, 1 << 10, 32 << 10, 1 << 20} {
					if err := a.call(size); err != nil {
						t.Errorf("a call for %d bytes: %v", size, err)
					}
				}
				if version == modernVersion && !strings.Contains(a.body.String(), `"resultType":"complete"`) {
					t.Error("a modern result without resultType")
				}
				if err := a.end(); err != nil {
					t.Error(err)
				}
				if err := a.close(); err != nil {
					t.Error(err)
				}
				big := newAgent(to, 4, version, bigPath)
				if err := big.open(); err != nil {
					t.Fatal(err)
				}
				if err := big.list(listedTools); err != nil {
					t.Error(err)
				}
				if err := big.close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestFixtureAsksForASession(t *testing.T) {
	to := served(t, false)
	a := newAgent(to, 0, legacyVersion, benchPath)
	if err := a.call(10); err == nil || !strings.Contains(err.Error(), "status 400") {
		t.Errorf("a legacy call without a session: %v, want status 400", err)
	}
	if err := a.open(); err != nil {
		t.Fatal(err)
	}
	ended := a.session
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	a.session = ended
	if err := a.call(10); err == nil || !strings.Contains(err.Error(), "status 404") {
		t.Errorf("a call in a session that ended: %v, want status 404", err)
	}
}

func TestFixtureRefusesWhatItDoesNotServe(t *testing.T) {
	u := newUpstream(listedTools)
	for _, c := range []struct {
		verb, path, body string
		status           int
	}{
		{http.MethodGet, benchPath, "", http.StatusMethodNotAllowed},
		{http.MethodPost, "/elsewhere", "{}", http.StatusNotFound},
		{http.MethodPost, benchPath, "no json", http.StatusBadRequest},
	} {
		w := httptest.NewRecorder()
		u.ServeHTTP(w, httptest.NewRequest(c.verb, c.path, strings.NewReader(c.body)))
		if w.Code != c.status {
			t.Errorf("%s %s %q: %d, want %d", c.verb, c.path, c.body, w.Code, c.status)
		}
	}
	for _, size := range []int{-1, maxPayload + 1} {
		if _, err := u.payload(size); err == nil {
			t.Errorf("a payload of %d bytes was made", size)
		}
	}
}

func TestFixtureKeepsOddMarkersOutOfJSON(t *testing.T) {
	u := newUpstream(listedTools)
	var q request
	if err := json.Unmarshal([]byte(`{"id":1,"method":"tools/call","params":{"arguments":{"marker":"a\"b\\c\nd\u00e9","bytes":100}}}`), &q); err != nil {
		t.Fatal(err)
	}
	answer := u.answer(nil, &q, nil, false)
	if !json.Valid(answer) || !strings.Contains(string(answer), "abcd") {
		t.Errorf("the answer to an odd marker: %s", answer)
	}
}

func TestPayload(t *testing.T) {
	for _, size := range []int{0, 700, 1 << 10, 32 << 10, 1 << 20} {
		p, err := newPayload(size)
		if err != nil {
			t.Fatal(err)
		}
		if size >= 1<<10 && (p.size < size*9/10 || p.size > size+64) {
			t.Errorf("asked for %d bytes, got %d", size, p.size)
		}
		var result struct {
			Content           []struct{ Type, Text string }
			StructuredContent json.RawMessage
		}
		if err := json.Unmarshal(p.appendTo(nil, "m-1-2"), &result); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if len(result.Content) != 1 || result.Content[0].Text != string(result.StructuredContent) {
			t.Errorf("%d bytes: the text does not repeat the structured content", size)
		}
		if !strings.Contains(result.Content[0].Text, `"marker":"m-1-2"`) {
			t.Errorf("%d bytes: no marker", size)
		}
		if size < 1<<10 {
			continue
		}
		for _, mark := range secretMarks {
			if !strings.Contains(string(result.StructuredContent), mark) {
				t.Errorf("%d bytes: no secret like %q to take out", size, mark)
			}
		}
	}
}

// Each redacted path must hold a secret that some mark finds, and no other
// place may: else a guard that misses a path would go unnoticed, or one that
// does its work be blamed.
func TestSecretsAreWhereThePolicyLooks(t *testing.T) {
	var record map[string]any
	if err := json.Unmarshal([]byte(order(17)), &record); err != nil {
		t.Fatal(err)
	}
	redacted := map[string]bool{}
	for _, path := range redactPaths {
		redacted[strings.TrimPrefix(path, "**.")] = true
	}
	var walk func(v any, name string)
	found := 0
	walk = func(v any, name string) {
		switch v := v.(type) {
		case map[string]any:
			for name, member := range v {
				walk(member, name)
			}
		case string:
			secret := false
			for _, mark := range secretMarks {
				secret = secret || strings.Contains(v, mark)
			}
			if secret != redacted[name] {
				t.Errorf("%s is %q: secret %v, redacted %v", name, v, secret, redacted[name])
			}
			if secret {
				found++
			}
		}
	}
	walk(record, "")
	if found != len(redactPaths) {
		t.Errorf("%d secrets in a record, want one for each of %d paths", found, len(redactPaths))
	}
}
