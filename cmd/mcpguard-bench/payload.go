package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// secretMarks are the texts of which every secret in a payload contains one, so
// a run can prove that a guard took them all out.
var secretMarks = [...]string{"@private.example", "078-05-", "4000-0000-", "-s3cret-"}

// redactPaths are the places of the secrets: what the guard's policy removes.
var redactPaths = [...]string{"**.email", "**.ssn", "**.card", "**.token", "**.pin"}

// payload is a tools/call result rendered once: the marker of a call goes
// between each two parts.
type payload struct {
	parts [][]byte
	size  int // bytes of the parts
}

// markerByte stands for the marker while a payload is rendered; JSON escapes
// it, so it cannot occur by itself.
const markerByte = "\x00"

// newPayload renders a result of about size bytes whose structured content
// stands again as JSON in its text, as the specification recommends (MCP
// 2025-06-18, Tools, "Structured Content").
func newPayload(size int) (*payload, error) {
	const frame = len(`{"content":[{"type":"text","text":""}],"structuredContent":}`)
	empty, err := renderData(0, "")
	if err != nil {
		return nil, err
	}
	data := empty
	budget := size - frame
	if orders := max(0, (budget-twice(empty))/(twice(order(0))+2)); orders > 0 {
		if data, err = renderData(orders, ""); err != nil {
			return nil, err
		}
	}
	if rest := (budget - twice(data)) / 2; rest > 0 {
		orders := strings.Count(data, `"order":`)
		if data, err = renderData(orders, strings.Repeat("x", rest)); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("render a payload of %d bytes: %w", size, err)
	}
	whole := `{"content":[{"type":"text","text":` + string(text) + `}],"structuredContent":` + data + `}`
	whole = strings.ReplaceAll(whole, `\u0000`, markerByte)
	return &payload{parts: bytes.Split([]byte(whole), []byte(markerByte)), size: len(whole)}, nil
}

// twice is the room that a text takes when it stands as it is and again as a
// JSON string.
func twice(s string) int { return 2*len(s) + strings.Count(s, `"`) + strings.Count(s, `\`) }

func renderData(orders int, note string) (string, error) {
	var b strings.Builder
	b.WriteString(`{"marker":"` + markerByte + `","orders":[`)
	for i := range orders {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(order(i))
	}
	quoted, err := json.Marshal(note)
	if err != nil {
		return "", fmt.Errorf("render the note of a payload: %w", err)
	}
	b.WriteString(`],"note":` + string(quoted) + `}`)
	return b.String(), nil
}

// order is one record with a secret at each of redactPaths. Its numbers have a
// fixed width, so that all orders are of one size.
func order(i int) string {
	return fmt.Sprintf(`{"order":%06d,"customer":{"name":"Customer %06d","email":"c%06d@private.example","ssn":"078-05-%06d",`+
		`"card":"4000-0000-%06d"},"session":{"token":"tok-s3cret-%06d","pin":"pin-s3cret-%06d"},"city":"%s","total":%d.25,"paid":true}`,
		100000+i%900000, i%1000000, i%1000000, i%1000000, i%1000000, i%1000000, i%1000000,
		[...]string{"Porto", "Lagos", "Turku"}[i%3], 100+i%900)
}

// appendTo appends the result with the marker in it.
func (p *payload) appendTo(b []byte, marker string) []byte {
	for i, part := range p.parts {
		if i > 0 {
			b = append(b, marker...)
		}
		b = append(b, part...)
	}
	return b
}
