package main

import (
	"fmt"
	"os"

	"go.yaml.in/yaml/v4"

	"mcpguard/mcpproxy"
)

// Pins says what becomes of what upstreams define, and of changes of it.
type Pins struct {
	Mode    string // first, strict or off
	New     string // of a name that was not there; this and the following: quarantine or alert
	Wording string // of other words
	Schema  string // of another schema
	Hints   string // of other hints at the behaviour
	Hidden  string // of characters that people do not see
	Names   string // of names that look like others
}

// How what an upstream defines first is taken.
const (
	pinsFirst  = "first"  // it is accepted
	pinsStrict = "strict" // it waits for mcpguard tools accept
	pinsOff    = "off"    // nothing is pinned
)

// What becomes of a change.
const (
	pinQuarantine = "quarantine"
	pinAlert      = "alert"
)

// pinKeys are the keys that upstreams may have of their own.
var pinKeys = []string{"mode", "new", "wording", "schema", "hints", "hidden", "names"}

func pinSetting(name, standard string) settingKey {
	return settingKey{key: "pins." + name, standard: standard, assign: func(c *Config, s string) error {
		return c.Pins.assign(name, s)
	}}
}

// assign sets the value that a key names.
func (p *Pins) assign(name, text string) error {
	field := map[string]*string{"mode": &p.Mode, "new": &p.New, "wording": &p.Wording, "schema": &p.Schema,
		"hints": &p.Hints, "hidden": &p.Hidden, "names": &p.Names}[name]
	*field = text
	if name == "mode" {
		return oneOf(text, pinsFirst, pinsStrict, pinsOff)
	}
	return oneOf(text, pinQuarantine, pinAlert)
}

// rules are the settings as the proxy takes them.
func (p Pins) rules() mcpproxy.PinRules {
	action := map[string]mcpproxy.PinAction{pinQuarantine: mcpproxy.PinQuarantine, pinAlert: mcpproxy.PinAlert}
	first := mcpproxy.PinQuarantine
	if p.Mode == pinsFirst {
		first = mcpproxy.PinAccept
	}
	return mcpproxy.PinRules{Off: p.Mode == pinsOff, First: first, New: action[p.New], Wording: action[p.Wording],
		Schema: action[p.Schema], Hints: action[p.Hints], Hidden: action[p.Hidden], Names: action[p.Names]}
}

// spellOut makes "pins: strict" what it is short for, "pins: {mode: strict}".
func spellOut(n *yaml.Node) {
	if n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Anchor != "" {
		return
	}
	value := *n
	key := yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "mode", Line: n.Line, Column: n.Column}
	*n = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: n.Line, Column: n.Column, Content: []*yaml.Node{&key, &value}}
}

// upstreamPins gives an upstream the general pins and then its own.
func (l *loader) upstreamPins(u *Upstream, m *mapping, what string) {
	u.Pins = l.config.Pins
	n := m.get("pins")
	if n == nil {
		return
	}
	spellOut(n)
	own := l.file.mapping(n, what+".pins")
	l.file.refuseUnknown(own, what+".pins", pinKeys)
	for _, name := range pinKeys {
		node := own.get(name)
		if node == nil {
			continue
		}
		text, ok := l.file.scalar(node, what+".pins."+name)
		if !ok {
			continue
		}
		if err := u.Pins.assign(name, text); err != nil {
			l.file.wrong(node, what+".pins."+name+": "+err.Error(), hintOf(err))
			continue
		}
		l.noteUpstream(what+".pins."+name, text, node)
	}
}

// loadLock reads the lock file of the pins; nil where none is named.
func loadLock(path string) (*mcpproxy.PinLock, error) {
	if path == "" {
		return nil, nil
	}
	text, err := readBounded(path, maxLockText)
	if err != nil {
		return nil, usageError(hinted{fmt.Sprintf("read the lock file of the pins: %v", err), "mcpguard tools lock > " + path})
	}
	lock, err := mcpproxy.ParseLock(string(text))
	if err != nil {
		return nil, usageError(fmt.Errorf("read the lock file of the pins: %s: %w", path, err))
	}
	return lock, nil
}

// checkPins refuses a lock file that is not there.
func (l *loader) checkPins() {
	if l.config.PinLock == "" {
		return
	}
	if _, err := os.Stat(l.config.PinLock); err != nil {
		l.mistake(l.origins["pins.lock"], fmt.Sprintf("pins.lock: %v", err), "mcpguard tools lock prints one")
	}
}
