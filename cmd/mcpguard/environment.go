package main

import (
	"io"
	"os"
	"strings"
	"time"
)

// environment is what a command may touch of the world outside its arguments.
// Tests make their own.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
	environ        []string // KEY=value, as os.Environ gives it; the last of a key wins

	output  string // of -o: table, json or jsonl; set by the root command
	config  string // of --config; "" looks for mcpguard.yaml
	started bool   // the command line was accepted: errors are no longer of usage
}

func osEnvironment() *environment {
	return &environment{
		stdin:   os.Stdin,
		stdout:  os.Stdout,
		stderr:  os.Stderr,
		now:     time.Now,
		environ: os.Environ(),
		output:  outputTable,
	}
}

// lookup is os.LookupEnv over the environment's own variables.
func (e *environment) lookup(name string) (value string, ok bool) {
	for _, kv := range e.environ {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			value, ok = v, true
		}
	}
	return value, ok
}
