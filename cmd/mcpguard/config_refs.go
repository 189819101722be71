package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// References in values:
//
//	${env:NAME}     the environment variable NAME
//	${file:PATH}    the content of a file, without the line break at its end
//	${NAME}         as ${env:NAME}, inside upstreams, where mcpServers blocks
//	${NAME:-TEXT}   come from; with TEXT where NAME is not set or empty
//	$${             the two characters ${ themselves
//
// What a reference leads to is not looked through for further references. A
// variable that is not set or empty, and a file that is missing or empty, are
// mistakes.
type referenceForm bool

const (
	strictReferences     referenceForm = false // env: and file: only
	mcpServersReferences referenceForm = true  // bare names too
)

// maxReferenced bounds a referenced file, in bytes.
const maxReferenced = 64 << 10

// resolve replaces the references of a value. Its errors name the reference,
// never what it leads to.
func resolve(text, dir string, env *environment, form referenceForm) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			b.WriteString(text)
			return b.String(), nil
		}
		if literal, escaped := strings.CutSuffix(before, "$"); escaped {
			b.WriteString(literal + "${")
			text = rest
			continue
		}
		b.WriteString(before)
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", hinted{"a reference without its closing brace", "${env:NAME}, or $${ for the characters themselves"}
		}
		value, err := dereference(name, dir, env, form)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		text = after
	}
}

func dereference(ref, dir string, env *environment, form referenceForm) (string, error) {
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		return variable(name, env)
	}
	if path, ok := strings.CutPrefix(ref, "file:"); ok {
		return referencedFile(path, dir)
	}
	name, standard, hasStandard := strings.Cut(ref, ":-")
	switch {
	case strings.Contains(name, ":"):
		return "", hinted{fmt.Sprintf("there is no reference ${%s}", ref), "${env:NAME} or ${file:PATH}"}
	case form == strictReferences:
		return "", hinted{fmt.Sprintf("${%s} says not where its value is", name), "${env:" + name + "}"}
	}
	value, err := variable(name, env)
	if err != nil && hasStandard && isVariableName(name) {
		return standard, nil
	}
	return value, err
}

func variable(name string, env *environment) (string, error) {
	if !isVariableName(name) {
		return "", fmt.Errorf("%q is no name of a variable", name)
	}
	value, ok := env.lookup(name)
	if !ok || value == "" {
		return "", hinted{
			fmt.Sprintf("the variable %s is not set", name),
			"export " + name + "=... before mcpguard starts",
		}
	}
	return value, nil
}

func referencedFile(path, dir string) (string, error) {
	if path == "" {
		return "", errors.New("${file:} names no file")
	}
	full := path
	if !filepath.IsAbs(path) {
		full = filepath.Join(dir, path)
	}
	text, err := readBounded(full, maxReferenced)
	if err != nil {
		return "", fmt.Errorf("resolve ${file:%s}: %w", path, err)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case value == "":
		return "", fmt.Errorf("resolve ${file:%s}: the file is empty", path)
	case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
		return "", fmt.Errorf("resolve ${file:%s}: the file does not hold text", path)
	}
	return value, nil
}

// isVariableName reports whether s is a POSIX name of a variable.
func isVariableName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// shownReferences is how a value that may hold a secret is shown: its
// references as they are written, everything else as "[secret]".
func shownReferences(text string) string {
	var parts []string
	hide := func(literal string) {
		if literal != "" {
			parts = append(parts, "[secret]")
		}
	}
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found || strings.HasSuffix(before, "$") {
			hide(text)
			return strings.Join(parts, "")
		}
		ref, after, closed := strings.Cut(rest, "}")
		if !closed {
			hide(text)
			return strings.Join(parts, "")
		}
		hide(before)
		name, _, hasStandard := strings.Cut(ref, ":-")
		if hasStandard {
			name += ":-[secret]"
		}
		parts = append(parts, "${"+name+"}")
		text = after
	}
}

// hinted is a mistake with what to write instead.
type hinted struct{ message, hint string }

func (h hinted) Error() string { return h.message }

// hintOf is the hint of an error that has one, else "".
func hintOf(err error) string {
	var h hinted
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}
