package toolpolicy

import (
	"errors"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"

	"mcpguard/toolcall"
)

// expression is the "if" of a rule: a condition in CEL over the arguments, the
// caller, the tool, the session and the time of the call. It is immutable and
// safe for concurrent use.
//
//	text ── compileExpression ──> checked, priced, planned once
//	          cel_env.go   what there is to read
//	          cel_check.go which functions, written-out patterns and zones
//	          cel_cost.go  what it may cost, at load and for a call
//	          cel_paths.go which paths below arguments it reads
//	          cel_place.go from a place in the expression to one in the file
//	call ── judge ──> true, false, unknown
//	          cel_run.go   caller, tool, session and time of one call
//	          cel_value.go the arguments, on the bytes that were judged (and
//	                       cel_object.go, cel_list.go)
//	          cel_equal.go values of different types are not compared
//
// CEL's logic is the one of this package: && and || are Kleene's, and an error
// that they do not settle becomes the error of the whole, which is unknown.
type expression struct {
	program cel.Program
	checked *cel.Ast
	reads   reads
	paths   []toolcall.Path // below arguments
	words   words
	roles   *roles // of the policy, for caller.roles
	origin  origin
}

// reads is what an expression looks at.
type reads uint8

const (
	readsArgs reads = 1 << iota
	readsCaller
	readsTool
	readsSession
	readsTime
)

// readsArguments reports whether the expression reads arguments; nil reads nothing.
func (e *expression) readsArguments() bool { return e != nil && e.reads&readsArgs != 0 }

// listable reports whether the expression can be judged before there is a call:
// it reads the caller and the tool alone.
func (e *expression) listable() bool { return e.reads&^(readsCaller|readsTool) == 0 }

// judge takes the call by value: what CEL holds on to does not force the callers
// of everybody without an expression to allocate.
func (e *expression) judge(c toolcall.Call) outcome {
	r := &run{call: &c, roles: e.roles}
	out, _, err := e.program.Eval(r)
	if err != nil {
		return r.blame(err)
	}
	if b, ok := out.(types.Bool); ok {
		return outcomeOf(bool(b))
	}
	return notComparable
}

// reach narrows what a selector is about to what the expression leaves of it, as
// far as that can be known before a call: one that reads more than caller and
// tool is assumed to be satisfiable.
func (e *expression) reach(about reach, c *toolcall.Call) reach {
	if e == nil || !e.listable() || about == reachUnknown || about == reachesNone {
		return about
	}
	switch e.judge(*c).verdict() {
	case toolcall.VerdictTrue:
		return about
	case toolcall.VerdictFalse:
		return reachesNone
	}
	return reachUnknown
}

// blame finds the words for what kept an expression from an answer. The text of
// the error itself may quote the call, and goes nowhere.
func (r *run) blame(err error) outcome {
	var cancelled interpreter.EvalCancelledError
	switch text := err.Error(); {
	case errors.As(err, &cancelled):
		return tooCostly
	case r.trouble != unjudged:
		return r.trouble
	case strings.HasPrefix(text, "no such key"), strings.HasPrefix(text, "index out of bounds"):
		return lacking
	case strings.HasPrefix(text, "no such overload"):
		return notComparable
	}
	return failing
}
