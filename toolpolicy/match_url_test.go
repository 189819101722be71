package toolpolicy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mcpguard/toolcall"
)

// reading is a URL as some reader takes it apart, with what it would look up.
type reading struct {
	Scheme, Host, Path string
	Port               int
}

func (u *readableURL) reading() reading {
	name := u.host.name
	if u.host.addr.IsValid() {
		name = u.host.addr.String()
	}
	return reading{u.scheme, name, u.path, u.port}
}

// oddURLs are the texts of the corpus and what comes of putting them together,
// cutting them, and setting in what parsers trip over.
func oddURLs(t testing.TB, n int) []string {
	t.Helper()
	text, err := os.ReadFile("../testdata/match/url.txt")
	if err != nil {
		t.Fatal(err)
	}
	var seeds []string
	for line := range strings.Lines(string(text)) {
		_, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		j, err := toolcall.Parse(strings.TrimSpace(value), toolcall.Limits{Bytes: 1000, Depth: 3})
		if err != nil {
			continue // a comment or a rule
		}
		if s, ok := j.Str(); ok {
			seeds = append(seeds, s)
		}
	}
	pieces := []string{"/", "//", "?", "#", "@", ":", "\\", ".", "..", "%", "%2e", "%2F", "%00", "\t", "\n", " ", "\u00ad", "\u200d", "。", "ß", "é", "а",
		"xn--", "-", "_", "0x7f", "017", "1", "::", "[", "]", "[::1]", "localhost", "https", "http:", "ws", ":80", ":443", ":8080", "A", ";", "&", "|", "'", "~", "+", "*"}
	r := rand.New(rand.NewPCG(5, 6))
	out := slices.Clone(seeds)
	for len(out) < n {
		s := []rune(seeds[r.IntN(len(seeds))])
		for range r.IntN(3) {
			at := r.IntN(len(s) + 1)
			switch r.IntN(4) {
			case 0, 1:
				s = slices.Insert(s, at, []rune(pieces[r.IntN(len(pieces))])...)
			case 2:
				s = slices.Delete(s, at, min(at+1+r.IntN(3), len(s)))
			case 3:
				other := []rune(seeds[r.IntN(len(seeds))])
				s = append(s[:at:at], other[r.IntN(len(other)+1):]...)
			}
		}
		out = append(out, string(s))
	}
	return out
}

// accepted are the odd URLs that mcpguard reads, with its reading.
func accepted(t testing.TB) (urls []string, ours []reading) {
	t.Helper()
	for _, s := range oddURLs(t, 60_000) {
		if u, ok := readURL(s); ok {
			urls, ours = append(urls, s), append(ours, u.reading())
		}
	}
	if len(urls) < 5000 {
		t.Fatalf("only %d URLs are read: the test tests too little", len(urls))
	}
	return urls, ours
}

// For every URL that is read, Go's HTTP client dials the host and port that were
// judged, and asks for that path. (It dials names as they are written; case
// does not count in them.)
func TestURLsAreDialledAsRead(t *testing.T) {
	stop := errors.New("dialled")
	var dialled string
	dial := func(_ context.Context, _, address string) (net.Conn, error) {
		dialled = address
		return nil, stop
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DialTLSContext: dial, DisableKeepAlives: true}}
	urls, ours := accepted(t)
	for i, s := range urls {
		// The client knows http and https; ws and wss differ in nothing else.
		scheme, rest, _ := strings.Cut(s, ":")
		text := strings.Replace(strings.ToLower(scheme), "ws", "http", 1) + ":" + rest
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, text, nil)
		if err != nil {
			t.Fatalf("%q is read, and not by net/url: %v", s, err)
		}
		dialled = ""
		if answer, err := client.Do(request); !errors.Is(err, stop) {
			if err == nil {
				answer.Body.Close()
			}
			t.Fatalf("%q: %v", s, err)
		}
		if want := net.JoinHostPort(ours[i].Host, strconv.Itoa(ours[i].Port)); strings.ToLower(dialled) != want {
			t.Fatalf("%q is judged as %s, and %s is dialled", s, want, dialled)
		}
		if path := request.URL.EscapedPath(); path != ours[i].Path && path != "" {
			t.Fatalf("%q is judged with the path %q, and %q is asked for", s, ours[i].Path, path)
		}
		if request.URL.User != nil || request.URL.Fragment != "" {
			t.Fatalf("%q is read, and has more in it than host, path and query", s)
		}
	}
	t.Logf("%d URLs", len(urls))
}

const nodeReader = `
const answers = JSON.parse(require("fs").readFileSync(0, "utf8")).map(s => {
  try {
    const u = new URL(s), scheme = u.protocol.slice(0, -1)
    return {Scheme: scheme, Host: u.hostname.replace(/^\[|\]$/g, ""), Path: u.pathname,
      Port: Number(u.port || {http: 80, https: 443, ws: 80, wss: 443}[scheme] || -1)}
  } catch { return {} }
})
console.log(JSON.stringify(answers))`

const pythonReader = `
import json, sys
from urllib.parse import urlsplit
def read(s):
    try:
        u = urlsplit(s)
        host = u.hostname or ""
        if ":" not in host:
            host = host.encode("idna").decode()
        return {"Scheme": u.scheme, "Host": host, "Path": u.path or "/",
                "Port": u.port or {"http": 80, "https": 443, "ws": 80, "wss": 443}.get(u.scheme, -1)}
    except ValueError:
        return {}
print(json.dumps([read(s) for s in json.load(sys.stdin)]))`

// Every URL that is read, node (the URL standard) and Python read the same.
func TestURLsAreReadAlike(t *testing.T) {
	urls, ours := accepted(t)
	input, err := json.Marshal(urls)
	if err != nil {
		t.Fatal(err)
	}
	for _, reader := range []struct {
		name, program, flag, text string
	}{{"node", "node", "-e", nodeReader}, {"Python", "python3", "-c", pythonReader}} {
		t.Run(reader.name, func(t *testing.T) {
			path, err := exec.LookPath(reader.program)
			if err != nil {
				missing(t, reader.name, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			command := exec.CommandContext(ctx, path, reader.flag, reader.text)
			command.Stdin, command.Stderr = bytes.NewReader(input), t.Output()
			output, err := command.Output()
			if err != nil {
				t.Fatal(err)
			}
			var theirs []reading
			if err := json.Unmarshal(output, &theirs); err != nil || len(theirs) != len(urls) {
				t.Fatalf("%d answers to %d URLs: %v", len(theirs), len(urls), err)
			}
			differ := 0
			for i := range urls {
				if theirs[i] != ours[i] {
					if differ++; differ <= 10 {
						t.Errorf("%q is judged as %+v, and %s reads %+v", urls[i], ours[i], reader.name, theirs[i])
					}
				}
			}
			t.Logf("%d URLs, %d read otherwise", len(urls), differ)
		})
	}
}

// A host of a million different characters is refused before IDNA reads it, for
// which it would need minutes.
func TestLongHostsTakeNoTime(t *testing.T) {
	var long strings.Builder
	for r := rune(0x4E00); long.Len() < 1<<20; r++ {
		if r > 0x9FFF {
			r = 0x4E00
		}
		long.WriteRune(r)
	}
	began := time.Now()
	if u, ok := readURL("https://" + long.String() + "/"); ok {
		t.Errorf("it is read as %q", u.host.name)
	}
	if name := hostName(long.String()[:maxHostBytes/3*3]); name != "" {
		t.Errorf("it is the name %q", name)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}
