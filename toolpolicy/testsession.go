package toolpolicy

import (
	"errors"
	"fmt"
	"time"

	"mcpguard/toolcall"
)

// SessionPaths are where the file says that recorded sessions are, relative to the
// test file.
func (t *TestFile) SessionPaths() []string { return t.sessions }

// maxSession is the longest recorded session that is read, in bytes.
const maxSession = 64 << 20

// LoadSession adds the calls of a recorded session to the tests, each with what
// policy said about it then: text is what "mcpguard sessions show -o json" prints.
// Calls that were refused for something else than policy (a limit, what is hidden)
// are left out.
//
// The record keeps arguments as redaction left them: a call may fail here that the
// policy would decide as before.
func (t *TestFile) LoadSession(name string, text []byte) error {
	doc, err := toolcall.Parse(string(text), toolcall.Limits{Bytes: maxSession, Depth: 256})
	if err != nil {
		return fmt.Errorf("read the recorded session %s: %w", name, err)
	}
	session, records := doc.Member("session"), doc.Member("records")
	if session.Type() != toolcall.ObjectType || records.Type() != toolcall.ArrayType {
		return fmt.Errorf("read the recorded session %s: %w", name, errSession)
	}
	before, number := len(t.tests), 0
	for e := records.Elements(); e.Next(); {
		rec := e.Value()
		expect, ok := expectedOf(rec)
		if !ok {
			continue
		}
		number++
		ex, err := recordedExample(session, rec)
		if err != nil {
			return fmt.Errorf("read the recorded session %s: call %d: %w", name, number, err)
		}
		ex.file, ex.name = name, fmt.Sprintf("call %d, %s", number, ex.target.text)
		ex.expect = &expect
		t.tests = append(t.tests, ex)
	}
	if len(t.tests) == before {
		return fmt.Errorf("read the recorded session %s: it has no call that policy decided about", name)
	}
	return nil
}

var errSession = errors.New(`it must hold {"session": {...}, "records": [...]}, as mcpguard sessions show -o json prints it`)

// expectedOf is what policy said about a recorded call; false where the record does
// not tell of that.
func expectedOf(rec toolcall.JSON) (toolcall.Effect, bool) {
	text := func(name string) string { s, _ := rec.Member(name).Str(); return s }
	stages := rec.Member("stages_us")
	passed := func(stage string) bool { return !stages.Member(stage).IsZero() }
	if text("would") != "" || text("target") == "" {
		return toolcall.Deny, false
	}
	switch text("record") {
	case "intent":
		return effectNamed(text("decision"))
	case "refusal":
		switch {
		case passed("decide"):
			return toolcall.Approve, text("decision") == toolcall.Approve.String() // it was held
		case passed("find"):
			return toolcall.Deny, true
		}
	}
	return toolcall.Deny, false
}

func effectNamed(name string) (toolcall.Effect, bool) {
	for _, e := range [...]toolcall.Effect{toolcall.Allow, toolcall.Approve} {
		if name == e.String() {
			return e, true
		}
	}
	return toolcall.Deny, false
}

// recordedExample is a recorded call as a test.
func recordedExample(session, rec toolcall.JSON) (example, error) {
	text := func(of toolcall.JSON, name string) string { s, _ := of.Member(name).Str(); return s }
	e := example{repeat: 1, kind: kindOf(text(rec, "kind")), args: rec.Member("args"), recorded: true}
	e.target.text = text(rec, "upstream") + "/" + text(rec, "target")
	e.caller = toolcall.Caller{Person: text(session, "person"), Subject: text(session, "subject"), Issuer: text(session, "issuer"),
		Client: text(session, "verified_client")}
	for g := rec.Member("groups").Elements(); g.Next(); {
		group, _ := g.Value().Str()
		e.caller.Groups = append(e.caller.Groups, group)
	}
	for a := session.Member("act").Elements(); a.Next(); {
		actor, _ := a.Value().Str()
		e.caller.Act = append(e.caller.Act, actor)
	}
	var err error
	switch e.at, err = time.Parse(time.RFC3339Nano, text(rec, "at")); {
	case err != nil:
		return e, errors.New("it does not say when it was")
	case e.kind == toolcall.NoKind:
		return e, errors.New("it does not say of which kind it is")
	case e.caller.IsZero():
		return e, errors.New("the session does not say who called: names were erased")
	case !e.args.IsZero() && e.args.Type() != toolcall.ObjectType, e.args.IsZero() && !rec.Member("args_size").IsZero():
		return e, errors.New("the record does not keep its arguments")
	}
	return e, nil
}
