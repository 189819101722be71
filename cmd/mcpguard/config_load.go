package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"mcpguard/store"
	"mcpguard/toolpolicy"
)

// defaultConfig is the file that is read when none is named, if it exists.
const defaultConfig = "mcpguard.yaml"

// maxConfig bounds the configuration file, in bytes.
const maxConfig = 1 << 20

// LoadConfig reads the configuration: what a flag says wins over the
// environment's MCPGUARD_ variables, these over the file, the file over the
// defaults. path is the file; with "" it is MCPGUARD_CONFIG, else
// mcpguard.yaml in the current folder, else none, which is enough where the
// flags name an upstream and a policy.
//
// References (${env:X}, ${file:X}) are resolved here, and one that leads
// nowhere is a mistake. The error is toolpolicy.Mistakes with everything that is
// wrong, unless the file could not be read at all.
func LoadConfig(path string, flags overrides, env *environment) (*Config, error) {
	path, err := configPath(path, flags.named, env)
	if err != nil {
		return nil, err
	}
	l := &loader{
		config:  &Config{File: path},
		flags:   flags,
		env:     env,
		origins: map[string]origin{},
		given:   map[string]bool{},
	}
	if path != "" {
		text, err := readBounded(path, maxConfig)
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		if err := notAConfiguration(path, text); err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		l.file = parseYAML(path, text)
	}
	l.load()
	l.check()
	if found := l.all(); len(found) > 0 {
		return nil, found
	}
	return l.config, nil
}

func configPath(path string, named bool, env *environment) (string, error) {
	if path == "" {
		path, _ = env.lookup("MCPGUARD_CONFIG")
	}
	if path != "" || named {
		return path, nil
	}
	_, err := os.Stat(defaultConfig)
	switch {
	case err == nil:
		return defaultConfig, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	}
	return "", fmt.Errorf("look for %s: %w", defaultConfig, err)
}

// loader fills a Config and collects every mistake on the way.
type loader struct {
	config  *Config
	file    *yamlFile // nil without a file
	top     *mapping  // of the file; nil without one
	flags   overrides
	env     *environment
	origins map[string]origin // of what was set, by key
	given   map[string]bool   // keys that are there, right or wrong

	elsewhere toolpolicy.Mistakes // in flags and in the environment
}

// origin is where a value comes from: a place in the file, or the name of a
// flag or variable, or "default".
type origin struct {
	name      string
	line, col int
}

func (o origin) String() string {
	if o.line == 0 {
		return o.name
	}
	return fmt.Sprintf("%s:%d:%d", o.name, o.line, o.col)
}

// setting is one line of config show.
type setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"` // as written; "[secret]" where that could be one
	Origin string `json:"origin"`
}

func (l *loader) load() {
	l.top = l.root()
	spellOut(l.top.get("pins"))
	l.chooseLocal()
	l.scalars()
	l.identity()
	l.lists()
	l.admin()
	l.upstreams()
	l.unknownVariables()
	l.noteControl()
}

// root is the file's mapping; nil when there is no file or it does not parse.
func (l *loader) root() *mapping {
	if l.file == nil || l.file.root == nil {
		return nil
	}
	l.hideSecrets(l.file.root)
	root := l.file.mapping(l.file.root, "the configuration")
	l.file.refuseUnknown(root, "", topKeys())
	return root
}

// hideSecrets marks the lines whose values could be secrets: an upstream's,
// but for the keys that hold none, those of tokens, and those of an unknown
// key, which may be a misspelt one.
func (l *loader) hideSecrets(root *yaml.Node) {
	known := topKeys()
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i].Value, root.Content[i+1]
		end := len(l.file.lines) + 1
		if i+2 < len(root.Content) {
			end = root.Content[i+2].Line
		}
		switch {
		case key == "upstreams":
			hideUpstreams(l.file, value, end)
		case key == "identity":
			hideIdentity(l.file, value, end)
		case !slices.Contains(known, key):
			l.file.hide(value, end)
		}
	}
}

// topKeys are the keys of the file itself.
func topKeys() []string {
	keys := []string{"upstreams", "identity", "allowed_hosts", "allowed_origins"}
	for i := range settingKeys {
		first, _, _ := strings.Cut(settingKeys[i].key, ".")
		if !slices.Contains(keys, first) {
			keys = append(keys, first)
		}
	}
	return keys
}

// scalars sets every key of the table, from the strongest source that has it.
func (l *loader) scalars() {
	for _, group := range []string{"tls", "record", "record.retention", "limits", "pins"} {
		if m := l.file.under(l.top, group); m != nil {
			l.given[group] = true
			l.file.refuseUnknown(m, group, keysBelow(group))
		}
	}
	for i := range settingKeys {
		l.scalar(&settingKeys[i])
	}
}

func (l *loader) scalar(k *settingKey) {
	if text, ok := l.flags.settings[k.key]; ok {
		l.given[k.key] = true
		l.set(k, text, text, origin{name: k.flag()}, "")
		return
	}
	if text, ok := l.env.lookup(k.variable()); ok {
		l.given[k.key] = true
		l.set(k, text, text, origin{name: k.variable()}, "")
		return
	}
	if node := l.file.at(l.top, k.key); node != nil {
		l.given[k.key] = true
		where := l.file.place(node)
		text, ok := l.file.scalar(node, k.key)
		if !ok {
			return
		}
		resolved, err := resolve(text, l.config.dir(), l.env, strictReferences)
		if err != nil {
			l.mistake(where, k.key+": "+err.Error(), hintOf(err))
			return
		}
		l.set(k, resolved, text, where, l.config.dir())
		return
	}
	if k.standard != "" && (!k.local || l.config.Identity.Local != nil) {
		l.set(k, k.standard, k.standard, origin{name: "default"}, l.config.dir())
	}
}

// set parses and assigns one value. Relative paths start from base.
func (l *loader) set(k *settingKey, text, shown string, from origin, base string) {
	if k.path && text != "" {
		full, err := absolute(base, text)
		if err != nil {
			l.mistake(from, k.key+": "+err.Error(), "")
			return
		}
		text = full
	}
	if err := k.assign(l.config, text); err != nil {
		l.mistake(from, k.key+": "+err.Error(), hintOf(err))
		return
	}
	l.note(k.key, shown, from)
}

// note remembers what config show will say.
func (l *loader) note(key, shown string, from origin) {
	l.origins[key] = from
	l.config.settings = append(l.config.settings, setting{key, shown, from.String()})
}

// mistake adds a mistake where a value came from.
func (l *loader) mistake(at origin, message, hint string) {
	if at.line > 0 {
		l.file.mistake(at.line, at.col, message, hint)
		return
	}
	l.elsewhere = append(l.elsewhere, toolpolicy.Mistake{File: at.name, Message: message, Hint: hint})
}

// all is every mistake: the file's in the order of lines, then the others. One
// that quotes a value does not quote a credential.
func (l *loader) all() toolpolicy.Mistakes {
	var found toolpolicy.Mistakes
	if l.file != nil {
		found = slices.Clone(l.file.mistakes)
		slices.SortStableFunc(found, func(a, b toolpolicy.Mistake) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
		})
	}
	found = append(found, l.elsewhere...)
	for i := range found {
		found[i].Message = credential.ReplaceAllString(found[i].Message, notShown)
		found[i].Hint = credential.ReplaceAllString(found[i].Hint, notShown)
	}
	return found
}

// unknownVariables refuses what looks like a misspelt variable of ours. Others
// that begin with MCPGUARD_ are left alone: Kubernetes sets such ones for a
// service of that name, and the test suite has its own.
func (l *loader) unknownVariables() {
	known := []string{"MCPGUARD_CONFIG"}
	for i := range settingKeys {
		known = append(known, settingKeys[i].variable())
	}
	for _, kv := range l.env.environ {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "MCPGUARD_") || slices.Contains(known, name) {
			continue
		}
		if near := nearest(name, known); near != "" {
			l.mistake(origin{name: name}, "there is no such setting", near)
		}
	}
}

// absolute makes a path, or that of a store, absolute; relative ones start from
// base, or from the current folder where base is "".
func absolute(base, path string) (string, error) {
	if file, err := store.Path(path); err == nil {
		full, err := absolute(base, file)
		return "sqlite://" + full, err
	}
	if path == "" || strings.Contains(path, "://") {
		return path, nil // what it is, its key will say
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	return filepath.Abs(path)
}
