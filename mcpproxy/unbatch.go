package mcpproxy

import (
	"io"
	"slices"
	"strings"

	"mcpguard/toolcall"
)

// Servers of 2025-03-26 may put what they say into batches as well (MCP
// 2025-03-26, Base Protocol, "Batching"). Each message of one is taken as if it had
// come alone. Elsewhere a batch cannot be read.

// unbatch reads messages from a link, those of a batch one by one. The revision is
// that of the first response, which answers the handshake: what comes behind it may
// be read before the client has it. It is its reader's alone.
type unbatch struct {
	shaken bool    // the first response was read
	on     bool    // batches are taken
	queue  []frame // the rest of a batch
}

// next is what is left of the batch before.
func (u *unbatch) next() (frame, bool) {
	if len(u.queue) == 0 {
		return frame{}, false
	}
	f := u.queue[0]
	u.queue = u.queue[1:]
	return f, true
}

// read reads a message, or the first of a batch.
func (u *unbatch) read(text string, limits toolcall.Limits) (frame, error) {
	raw, err := readMessage(text, limits)
	if err != nil {
		return frame{}, err
	}
	if u.on && raw.Type() == toolcall.ArrayType {
		frames, err := readBatch(raw)
		if err != nil {
			return frame{}, err
		}
		u.queue = frames[1:]
		return frames[0], nil
	}
	f, err := frameOf(raw)
	if err == nil && f.kind == response && !u.shaken {
		version, _ := f.result.Member("protocolVersion").Str()
		u.shaken, u.on = true, version == batchVersion
	}
	return f, err
}

// batched reports whether a body or an event of the upstream is a batch that it may
// send.
func (l *httpLeg) batched(text string) bool {
	return l.version == batchVersion && strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "[")
}

// unbatch reads the messages of a batch. What answers a request ends the reading of
// its answer, so the rest of the batch comes before. The event that brought it goes
// with the last one: whoever resumes behind it has all of them.
func (l *httpLeg) unbatch(text string, ev event) ([]inbound, error) {
	raw, err := readMessage(text, l.up.limits)
	if err != nil {
		return nil, unreadable(l.up.Name, err)
	}
	frames, err := readBatch(raw)
	if err != nil {
		return nil, unreadable(l.up.Name, err)
	}
	var before, answers []inbound
	for _, f := range frames {
		if f.kind != response {
			before = append(before, inbound{frame: f})
			continue
		}
		if !f.result.IsZero() {
			if err := f.readResult(); err != nil {
				return nil, unreadable(l.up.Name, err)
			}
		}
		answers = append(answers, inbound{frame: f})
	}
	all := slices.Concat(before, answers)
	all[len(all)-1].event = ev
	return all, nil
}

// each is the stream of some messages.
func each(waiting []inbound) func() (inbound, error) {
	return func() (inbound, error) {
		if len(waiting) == 0 {
			return inbound{}, io.EOF
		}
		in := waiting[0]
		waiting = waiting[1:]
		return in, nil
	}
}
