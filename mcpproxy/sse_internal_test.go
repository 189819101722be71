package mcpproxy

import (
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// readEvents reads a whole stream that comes in parts of the given sizes.
func readEvents(text string, limit int, parts func() int) ([]event, error) {
	r := newEventReader(&pieces{text, parts}, limit)
	var all []event
	for {
		ev, err := r.next()
		if err != nil {
			return all, err
		}
		all = append(all, ev)
	}
}

// pieces gives out a text in parts.
type pieces struct {
	text string
	size func() int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), max(1, p.size()))], p.text)
	p.text = p.text[n:]
	return n, nil
}

func whole() int { return 1 << 20 }

func TestEventReader(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []event
	}{
		{"one", "data: a\n\n", []event{{data: "a"}}},
		{"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", []event{{data: "a"}, {data: "b"}}},
		{"CR", "data: a\r\rdata: b\r\r", []event{{data: "a"}, {data: "b"}}},
		{"mixed ends", "data: a\r\n\rdata: b\n\r\n", []event{{data: "a"}, {data: "b"}}},
		{"a byte order mark", "\ufeffdata: a\n\n", []event{{data: "a"}}},
		{"a byte order mark later on", "data: a\n\n\ufeffdata: b\n\n", []event{{data: "a"}}},
		{"several data lines", "data: a\ndata:\ndata: c\n\n", []event{{data: "a\n\nc"}}},
		{"one space is taken off", "data:a\ndata:  b\n\n", []event{{data: "a\n b"}}},
		{"a field without a colon", "data\n\n", []event{{data: ""}}},
		{"comments", ": hello\n\n:\n\ndata: a\n: in between\n\n", []event{{data: "a"}}},
		{"id and retry", "id: 1\nretry: 50\ndata: a\n\n", []event{{id: "1", hasID: true, retry: "50", data: "a"}}},
		{"an id alone", "id: 1\n\n", []event{{id: "1", hasID: true}}},
		{"an id taken back", "id\n\n", []event{{hasID: true}}},
		{"an id with a NUL", "id: a\x00b\ndata: c\n\n", []event{{data: "c"}}},
		{"a retry that is none", "retry: 5s\ndata: a\n\n", []event{{data: "a"}}},
		{"a retry beyond reason", "retry: 99999999999\ndata: a\n\n", []event{{data: "a"}}},
		{"an unknown field", "foo: bar\nDATA: x\ndata: a\n\n", []event{{data: "a"}}},
		{"cut off", "data: a\n\ndata: b\n", []event{{data: "a"}}},
		{"cut off in a line", "data: a", nil},
		{"nothing", "", nil},
		{"a message by name", "event: message\ndata: a\n\n", []event{{data: "a"}}},
		{"another event", "event: ping\ndata: now\n\ndata: a\n\n", []event{{data: "a"}}},
		{"another event with an id", "id: 7\nevent: ping\ndata: now\n\n", []event{{id: "7", hasID: true}}},
	} {
		for _, size := range []int{1, 2, 3, 1 << 20} {
			got, err := readEvents(c.text, 1000, func() int { return size })
			if !errors.Is(err, io.EOF) || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s, in parts of %d: %+v, %v; want %+v", c.name, size, got, err, c.want)
			}
		}
	}
}

func TestEventReaderLimits(t *testing.T) {
	line := "data: " + long("x", 94) + "\n"
	if _, err := readEvents(line+"\n", 100, whole); !errors.Is(err, io.EOF) {
		t.Errorf("an event as long as the limit: %v", err)
	}
	for what, text := range map[string]string{
		"a line over the limit":     "data: " + long("x", 95) + "\n\n",
		"lines over the limit":      line + "data: y\n\n",
		"a comment over the limit":  ":" + long("x", 100) + "\n\n",
		"comments over the limit":   long(":x\n", 60) + "\n",
		"a line that does not end":  long("x", 100_000),
		"an id over the limit":      "id: " + long("x", 100) + "\n\n",
		"many ids over the limit":   long("id: 1\n", 30) + "\n",
		"a name over the limit":     long("x", 101) + ": y\n\n",
		"data behind a large event": line + line,
	} {
		if got, err := readEvents(text, 100, whole); !errors.Is(err, errEventTooLarge) {
			t.Errorf("%s: %d events, %v", what, len(got), err)
		}
	}
	got, err := readEvents(long(": keep alive\n\n", 1000)+"data: a\n\n", 100, whole)
	if !errors.Is(err, io.EOF) || len(got) != 1 {
		t.Errorf("keep-alives add up to a large event: %+v, %v", got, err)
	}
	if _, err := newEventReader(iotest.ErrReader(io.ErrUnexpectedEOF), 100).next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a broken stream: %v", err)
	}
}

// slowEvents reads a stream by the letter of WHATWG HTML, 9.2.6, from the whole
// text: what eventReader must come to, however the bytes arrive. JSON where a field
// should be ends it.
func slowEvents(text string) ([]event, error) {
	text = strings.TrimPrefix(text, "\ufeff")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	var all []event
	var now event
	var data []string
	kind := ""
	lines := strings.Split(text, "\n")
	for _, line := range lines[:len(lines)-1] { // what comes behind the last end is no line
		if line == "" {
			if kind != "" && kind != "message" {
				data = nil
			}
			if now.data = strings.Join(data, "\n"); data != nil || now.hasID || now.retry != "" {
				all = append(all, now)
			}
			now, data, kind = event{}, nil, ""
			continue
		}
		if line[0] == '{' || line[0] == '[' {
			return all, errUnframed
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "data":
			data = append(data, value)
		case "event":
			kind = value
		case "id":
			if !strings.Contains(value, "\x00") {
				now.id, now.hasID = value, true
			}
		case "retry":
			if value != "" && len(value) < 10 && strings.Trim(value, "0123456789") == "" {
				now.retry = value
			}
		}
	}
	return all, io.EOF
}

func FuzzEventReader(f *testing.F) {
	for _, text := range []string{
		"data: a\n\n", "\ufeffid: 1\r\ndata: a\r\n\r\ndata: b\r\r", "data\r\n\ndata:\n: c\n\nevent: ping\ndata: x\n\n",
		"retry: 10\nid\n\n", "data: {\"a\":\ndata: 1}\n\n", "\r\r\n\n\rdata: x\r\n\r\n", "\ufeff\ufeffdata: a\n\n", "\ufeff\n\n",
		"{\n", "data: a\n\n[1]\n", " {\n\n",
	} {
		f.Add(text, uint64(1))
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		got, err := readEvents(text, 1<<20, func() int { return 1 + random.IntN(5) })
		want, end := slowEvents(text)
		if !errors.Is(err, end) || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q was read as\n%+v, %v\nwant\n%+v", text, got, err, want)
		}
	})
}

// What is written is read as it was, but that line ends become line feeds.
func FuzzAppendEvent(f *testing.F) {
	f.Add("1", true, "10", "{\"a\":\n1}")
	f.Add("", true, "", "")
	f.Add("", false, "", " leading\r\nand\rmore\n")
	f.Fuzz(func(t *testing.T, id string, hasID bool, retry, data string) {
		if strings.ContainsAny(id, "\r\n\x00") || strings.HasPrefix(id, " ") || retry != "" && (len(retry) > 9 || strings.Trim(retry, "0123456789") != "") {
			t.Skip("a reader never hands out such an id or retry")
		}
		if !hasID {
			id = ""
		}
		sent := event{id: id, hasID: hasID, retry: retry, data: data}
		want := sent
		want.data = strings.ReplaceAll(strings.ReplaceAll(data, "\r\n", "\n"), "\r", "\n")
		text := appendEvent(nil, sent)
		if !strings.HasSuffix(string(text), "\n\n") {
			t.Fatalf("%q does not end", text)
		}
		got, err := readEvents(string(text), 1<<20, whole)
		if !errors.Is(err, io.EOF) || len(got) != 1 || got[0] != want {
			t.Fatalf("%+v was written as %q and read as %+v, %v", sent, text, got, err)
		}
	})
}
