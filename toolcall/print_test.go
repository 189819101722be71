package toolcall_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"mcpguard/toolcall"
)

const secret = "hunter2"

// secretNumber is as secret as text.
const secretNumber = "4929123412341234"

// Forms in which a value can lie in somebody's data.
type (
	exported   struct{ Args toolcall.JSON }
	unexported struct{ args toolcall.JSON }
	embedded   struct{ toolcall.JSON }
	deeper     struct{ in []unexported }
	renamed    toolcall.JSON
	pointed    struct{ args *toolcall.JSON }
	ofNumber   struct{ n toolcall.Number }
	ofCall     struct{ Call toolcall.Call }
	ofMembers  struct{ m toolcall.Members }
)

// holders are values that hold the secret in every form.
func holders(t *testing.T) map[string]any {
	t.Helper()
	j := parse(t, `{"password":"`+secret+`","list":["`+secret+`",`+secretNumber+`]}`)
	card := number(t, secretNumber)
	members, elements := j.Members(), j.Member("list").Elements()
	if !members.Next() || !elements.Next() {
		t.Fatal("nothing to walk")
	}
	call := toolcall.Call{Kind: toolcall.Resource, Upstream: "crm", Name: "file:///srv/a", Args: j, Meta: j}
	return map[string]any{
		"JSON": j, "*JSON": &j, "[]JSON": []toolcall.JSON{j}, "map": map[string]toolcall.JSON{"args": j},
		"a string value": j.Member("password"), "a number value": at(t, j, "list.1"),
		"an exported field": exported{j}, "an unexported field": unexported{j}, "its address": &unexported{j},
		"embedded": embedded{j}, "embedded, by address": &embedded{j},
		"deeper": deeper{[]unexported{{j}}}, "renamed": renamed(j), "behind a pointer": pointed{&j},
		"Number": card, "*Number": &card, "a field of Number": ofNumber{card},
		"Call": call, "*Call": &call, "a field of Call": ofCall{call}, "[]Call": []toolcall.Call{call},
		"Members": members, "*Members": &members, "a field of Members": ofMembers{members}, "Elements": elements,
		"Edit":             toolcall.Edit{At: j, With: j},
		"an error's field": fmt.Errorf("judge %v: %w", j, errors.New("refused")),
	}
}

func checkSilent(t *testing.T, how, out string) {
	t.Helper()
	// Bytes in decimal and in hexadecimal would be the secret as well.
	asBytes := strings.Trim(fmt.Sprint([]byte(secret)), "[]")
	for _, shown := range []string{secret, secretNumber, asBytes, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprintf("% x", secret), fmt.Sprintf("%x", secretNumber)} {
		if strings.Contains(out, shown) {
			t.Errorf("%s shows the secret: %s", how, out)
		}
	}
}

// Law 5: a type that can hold caller data has no printable form, wherever it
// lies and whatever the verb. Where fmt calls no method, reflection finds an
// address.
func TestNothingPrints(t *testing.T) {
	for name, v := range holders(t) {
		for _, verb := range "vTtbcdoOqxXUeEfFgGspwy" {
			for _, flags := range []string{"", "+", "#", "-20", "+#", "020.3", " "} {
				format := "%" + flags + string(verb)
				checkSilent(t, name+" with "+format, fmt.Sprintf(format, v))
			}
		}
		for _, mistake := range []string{"no verb", "%[9]d", "%!", "%", "%*d"} {
			checkSilent(t, name+" with "+mistake, fmt.Sprintf(mistake, v))
		}
		checkSilent(t, name+" printed", fmt.Sprint(v)+fmt.Sprintln(v))
	}
}

func TestNothingIsLogged(t *testing.T) {
	for name, v := range holders(t) {
		var out bytes.Buffer
		options := &slog.HandlerOptions{Level: slog.LevelDebug}
		for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&out, options)), slog.New(slog.NewJSONHandler(&out, options))} {
			log.Info("call", "value", v, slog.Group("in", "value", v))
			log.With("value", v).WithGroup("in").Debug("call", slog.Any("value", v))
		}
		if out.Len() == 0 {
			t.Fatal("nothing was logged at all")
		}
		checkSilent(t, name+" in a log", out.String())
	}
}

func TestNothingIsMarshalled(t *testing.T) {
	for name, v := range holders(t) {
		out, err := json.Marshal(v)
		checkSilent(t, name+" in JSON", fmt.Sprint(string(out), err))
		var buf bytes.Buffer
		err = gob.NewEncoder(&buf).Encode(v)
		checkSilent(t, name+" in gob", fmt.Sprint(buf.String(), err))
		out, err = xml.Marshal(v)
		checkSilent(t, name+" in XML", fmt.Sprint(string(out), err))
		buf.Reset()
		err = template.Must(template.New("t").Parse("{{.}} {{printf `%+v` .}}")).Execute(&buf, v)
		checkSilent(t, name+" in a template", fmt.Sprint(buf.String(), err))
	}
	for _, v := range []any{toolcall.JSON{}, toolcall.Quote("x"), exported{}, toolcall.Call{}, &toolcall.Call{}} {
		if out, err := json.Marshal(v); err == nil {
			t.Errorf("%T was marshalled as %s", v, out)
		}
	}
}

// An error says where, never what.
func TestErrorsDoNotQuote(t *testing.T) {
	for _, text := range []string{
		`{"` + secret + `":1,"` + secret + `":2}`, `"` + secret, secret, `{"a":"` + secret + "\x00" + `"}`, `"\u` + secret + `"`,
		`["` + secret + `",` + secretNumber + `x]`, strings.Repeat("[", 9) + secret,
	} {
		_, err := toolcall.Parse(text, toolcall.Limits{Bytes: 1 << 10, Depth: 4})
		if err == nil {
			t.Fatalf("%q was accepted", text)
		}
		checkSilent(t, "the error of "+text, fmt.Sprintf("%v %+v %#v", err, err, err))
		_, err = toolcall.Parse(text, toolcall.Limits{Bytes: 1, Depth: 4})
		checkSilent(t, "too large", fmt.Sprintf("%v %+v %#v", err, err, err))
		_, err = toolcall.ParseNumber(text)
		checkSilent(t, "no number", fmt.Sprintf("%v %+v %#v", err, err, err))
		_, err = toolcall.ParseID(secret + text)
		checkSilent(t, "no id", fmt.Sprintf("%v %+v %#v", err, err, err))
	}
}

// The words of a Call itself, which may quote a caller too, stay inside wherever
// methods are asked.
func TestCallKeepsItsNames(t *testing.T) {
	call := toolcall.Call{Kind: toolcall.Resource, Upstream: "crm", Name: "file:///" + secret, Caller: toolcall.Caller{Subject: secret, Issuer: "local"}}
	for name, v := range map[string]any{"Call": call, "*Call": &call, "a field": ofCall{call}, "a slice": []toolcall.Call{call}} {
		for _, verb := range "vsqxXdt" {
			for _, flags := range []string{"", "+", "#", "-20"} {
				format := "%" + flags + string(verb)
				checkSilent(t, name+" with "+format, fmt.Sprintf(format, v))
			}
		}
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("call", "call", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("call", "call", v)
		checkSilent(t, name+" in a log", out.String())
		text, err := json.Marshal(v)
		checkSilent(t, name+" in JSON", fmt.Sprint(string(text), err))
	}
}

// What is shown instead is of use: type and size, kind and id.
func TestWhatPrintsInstead(t *testing.T) {
	for want, v := range map[string]any{
		"[no JSON]":          toolcall.JSON{},
		"[object, 7 bytes]":  parse(t, `{"a":1}`),
		"[string, 3 bytes]":  toolcall.Quote("x"),
		"[boolean, 4 bytes]": parse(t, "true"),
		"[null, 4 bytes]":    parse(t, "null"),
		"[number]":           number(t, "1"),
		"[tool call 00000000-0000-0000-0000-000000000000]": &toolcall.Call{Kind: toolcall.Tool},
	} {
		if got := fmt.Sprintf("%+v", v); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
