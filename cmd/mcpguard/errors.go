package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"mcpguard/audit"
	"mcpguard/store"
	"mcpguard/toolpolicy"
)

// The exit codes of every command, as the help says.
const (
	exitOK          = 0
	exitFailure     = 1 // something went wrong that is none of the others
	exitUsage       = 2 // the command line or the configuration
	exitProblems    = 3 // a check did its work and found problems
	exitIntegrity   = 4 // the record is not what was written
	exitDenied      = 5 // policy or a person said no
	exitPending     = 6 // no answer yet, or none in time
	exitUnreachable = 7 // the other side does not answer
)

// failure is an error that knows its exit code, and perhaps what to try.
type failure struct {
	code int
	err  error  // nil where the command has already said it all
	try  string // "" where there is nothing to suggest
}

func (f *failure) Error() string {
	if f.err == nil {
		return "failed"
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// fail gives an error its exit code and a suggestion.
func fail(code int, err error, try string) error { return &failure{code, err, try} }

// usageError is an error of the command line or the configuration.
func usageError(err error) error { return fail(exitUsage, err, tryOf(err)) }

// tryOf is what an error, whatever it is, says to try.
func tryOf(err error) string {
	var f *failure
	if errors.As(err, &f) && f.try != "" {
		return f.try
	}
	return hintOf(err)
}

// problemsFound ends a check that has reported its findings itself.
func problemsFound() error { return fail(exitProblems, nil, "") }

// notAsWritten reports whether the record is not what was written, wherever
// that came out.
func notAsWritten(err error) bool {
	return errors.Is(err, audit.ErrIntegrity) || errors.Is(err, store.ErrCorrupt)
}

// exitCode is the one place where an error becomes an exit code.
func exitCode(err error) int {
	var f *failure
	var mistakes toolpolicy.Mistakes
	switch {
	case err == nil:
		return exitOK
	case notAsWritten(err):
		return exitIntegrity
	case errors.As(err, &f):
		return f.code
	case errors.As(err, &mistakes): // of a file that a command needs
		return exitUsage
	}
	return exitFailure
}

// report tells a person what went wrong, and what to try.
func report(w io.Writer, err error) {
	var f *failure
	var mistakes toolpolicy.Mistakes
	errors.As(err, &f)
	switch {
	case err == nil || f != nil && f.err == nil:
		return
	case errors.As(err, &mistakes):
		fmt.Fprint(w, printable(render(mistakes)))
		return
	}
	fmt.Fprintf(w, "mcpguard: %s\n", printable(err.Error()))
	try := hintOf(err)
	if f != nil && f.try != "" {
		try = f.try
	}
	if try == "" && notAsWritten(err) {
		try = "restore a backup of the store and its keys"
	}
	if try != "" {
		fmt.Fprintf(w, "try: %s\n", printable(try))
	}
}

// render shows mistakes with their source lines. Where the line is not shown,
// no caret points into it.
func render(mistakes toolpolicy.Mistakes) string {
	var b strings.Builder
	for _, m := range mistakes {
		if m.Source != notShown {
			b.WriteString(toolpolicy.Mistakes{m}.Render())
			continue
		}
		fmt.Fprintf(&b, "%s\n%5d | %s\n", m, m.Line, notShown)
		if m.Hint != "" {
			fmt.Fprintf(&b, "  try: %s\n", m.Hint)
		}
	}
	return b.String()
}
