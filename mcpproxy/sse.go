package mcpproxy

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

// event is one event of a text/event-stream (WHATWG HTML, 9.2).
type event struct {
	id    string
	hasID bool
	retry string // milliseconds, digits only; "" when absent
	data  string
	name  string // that of eventReader.also; "" of messages
}

// errEventTooLarge ends a stream whose event is over the limit of results.
var errEventTooLarge = errors.New("an event is larger than the limit of results")

// errUnframed ends a stream that is none: a server wrote JSON under the content
// type of events. It would read as fields that nobody knows, and be lost.
var errUnframed = errors.New("a line of an event stream is JSON without a field name")

// eventReader reads a text/event-stream. Lines end at LF, CRLF or a bare CR,
// and a byte order mark at the start is skipped: a reader that stops short of
// that sees other events than the client would.
type eventReader struct {
	src   io.Reader
	limit int    // bytes of one event, its field names included
	also  string // the name of events that are read like messages; "" for none
	buf   []byte
	start int  // of what was not yet read as a line
	seen  int  // up to where buf was searched for the end of a line
	begun bool // the start of the stream is behind us
	wasCR bool // the last line ended in CR: a LF right after it belongs to it
	eof   error
}

func newEventReader(src io.Reader, limit int) *eventReader {
	return &eventReader{src: src, limit: limit}
}

// next is the next event with data, or with an id or a retry. At the end of the
// stream it is io.EOF; an event without its blank line is dropped, as clients do.
// Of an event with a name of its own only the id and the retry time are read:
// messages have none, or "message".
func (r *eventReader) next() (event, error) {
	var ev event
	var more []byte // data lines behind the first
	lines, size, any, name := 0, 0, false, ""
	for {
		line, err := r.line()
		if err != nil {
			return event{}, err
		}
		if len(line) == 0 {
			if name != "" && name == r.also {
				ev.name = name
			} else if name != "" && name != "message" { // no message of the protocol
				ev.data, more, any = "", nil, ev.hasID || ev.retry != ""
			}
			if !any {
				lines, size, name = 0, 0, ""
				continue
			}
			if more != nil {
				ev.data += string(more)
			}
			return ev, nil
		}
		if size += len(line); size > r.limit {
			return event{}, errEventTooLarge
		}
		if line[0] == '{' || line[0] == '[' {
			return event{}, errUnframed
		}
		field, value, _ := bytes.Cut(line, []byte{':'})
		value = bytes.TrimPrefix(value, []byte{' '})
		switch string(field) {
		case "event":
			name = string(value)
		case "data":
			if lines++; lines == 1 {
				ev.data, any = string(value), true
			} else {
				more = append(append(more, '\n'), value...)
			}
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				ev.id, ev.hasID, any = string(value), true, true
			}
		case "retry":
			if len(value) > 0 && len(value) < 10 && len(bytes.Trim(value, "0123456789")) == 0 {
				ev.retry, any = string(value), true
			}
		}
	}
}

// line is the next line without its end. It is valid until the next call.
func (r *eventReader) line() ([]byte, error) {
	for {
		if r.wasCR && r.start < len(r.buf) {
			r.wasCR = false
			if r.buf[r.start] == '\n' {
				r.start++
			}
			r.seen = max(r.seen, r.start)
		}
		if i := bytes.IndexAny(r.buf[r.seen:], "\r\n"); i >= 0 {
			end := r.seen + i
			line := r.buf[r.start:end]
			r.wasCR = r.buf[end] == '\r'
			r.start, r.seen = end+1, end+1
			if !r.begun {
				r.begun = true
				line = bytes.TrimPrefix(line, []byte("\ufeff"))
			}
			return line, nil
		}
		r.seen = len(r.buf)
		if r.eof != nil {
			return nil, r.eof
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads more behind what is left, and makes room for it first.
func (r *eventReader) fill() error {
	if r.start > 0 {
		left := copy(r.buf, r.buf[r.start:])
		r.buf, r.start, r.seen = r.buf[:left], 0, r.seen-r.start
	}
	if len(r.buf) > r.limit {
		return errEventTooLarge
	}
	if cap(r.buf)-len(r.buf) < minRead {
		grown := make([]byte, len(r.buf), max(2*cap(r.buf), 2*minRead))
		copy(grown, r.buf)
		r.buf = grown
	}
	n, err := r.src.Read(r.buf[len(r.buf):cap(r.buf)])
	r.buf = r.buf[:len(r.buf)+n]
	if err != nil {
		r.eof = err
	}
	return nil
}

const minRead = 4096

// appendEvent writes an event. data is one JSON text, in which line ends stand
// between tokens only: each becomes a data line of its own, which a reader joins
// again.
func appendEvent(dst []byte, ev event) []byte {
	if ev.hasID {
		dst = append(append(append(dst, "id: "...), ev.id...), '\n')
	}
	if ev.retry != "" {
		dst = append(append(append(dst, "retry: "...), ev.retry...), '\n')
	}
	rest, more := ev.data, true
	for more {
		i := strings.IndexAny(rest, "\r\n")
		line := rest
		if more = i >= 0; more {
			line = rest[:i]
			if rest[i] == '\r' && i+1 < len(rest) && rest[i+1] == '\n' {
				i++
			}
			rest = rest[i+1:]
		}
		dst = append(append(append(dst, "data: "...), line...), '\n')
	}
	return append(dst, '\n')
}
