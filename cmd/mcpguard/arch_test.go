package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The house has rooms, and these are its arrows: what each room may import of
// the others. A folder that is in no room does not belong to the house.
var rooms = map[string][]string{
	"toolcall":           {},
	"redact":             {"toolcall"},
	"keyring":            {"toolcall"},
	"identity":           {"toolcall"},
	"toolpolicy":         {"toolcall", "redact"},
	"audit":              {"toolcall", "redact"},
	"approvals":          {"toolcall", "redact"},
	"store":              {"toolcall", "audit", "approvals"},
	"store/storetest":    {"toolcall", "redact", "audit", "approvals", "keyring"},
	"mcpproxy":           {"toolcall", "redact", "audit", "approvals"},
	"replay":             {"toolcall", "redact", "toolpolicy", "audit"},
	"cmd/mcpguard":       {"toolcall", "redact", "keyring", "identity", "toolpolicy", "audit", "approvals", "store", "mcpproxy", "replay"},
	"cmd/mcpguard-bench": {},
}

// A door is where an outside module, or a part of the standard library that
// touches the world, comes in: the rooms that may import it. What is not here
// and has a dot in its first element has no door at all.
var doors = map[string][]string{
	"github.com/mark3labs/mcp-go": {"mcpproxy", "identity", "cmd/mcpguard"},
	"github.com/coreos/go-oidc":   {"identity"},
	"github.com/tidwall/gjson":    {"toolcall", "toolpolicy", "redact", "mcpproxy"},
	"github.com/tidwall/sjson":    {"toolcall", "toolpolicy", "redact", "mcpproxy"},
	"github.com/google/uuid":      {"toolcall"},
	"github.com/klauspost":        {"audit"},
	"github.com/pressly/goose":    {"store"},
	"modernc.org/sqlite":          {"store"},
	"github.com/spf13":            {"cmd/mcpguard"},
	"charm.land":                  {"cmd/mcpguard"},
	"go.yaml.in/yaml":             {"toolpolicy", "cmd/mcpguard"},
	"cel.dev/cel-go":              {"toolpolicy"},
	"golang.org/x/time":           {"identity", "mcpproxy"},
	"golang.org/x/sync":           {"mcpproxy"},
	"golang.org/x/text":           {"toolpolicy"},
	"golang.org/x/net":            {"toolpolicy"},
	"mvdan.cc/sh":                 {"toolpolicy"},
	"golang.org/x/sys":            {"cmd/mcpguard", "store"},
	"github.com/fsnotify":         {"cmd/mcpguard"},
	"github.com/prometheus":       {"cmd/mcpguard"},
	"github.com/sqlc-dev/meyer":   {"toolpolicy"},
	"github.com/wasilibs":         {"toolpolicy"},

	"database/sql": {"store"},
	"net/http":     {"identity", "mcpproxy", "approvals", "cmd/mcpguard", "cmd/mcpguard-bench"},
	"os":           {"identity", "keyring", "store", "mcpproxy", "cmd/mcpguard", "cmd/mcpguard-bench"},
	"os/exec":      {"mcpproxy", "cmd/mcpguard", "cmd/mcpguard-bench"},
}

// pkg is a package as go list tells it.
type pkg struct {
	ImportPath string
	Imports    []string
}

const module = "mcpguard/"

// violations names every import that breaks the tables.
func violations(packages []pkg) []string {
	var found []string
	for _, p := range packages {
		room, ok := roomOf(p.ImportPath)
		if !ok {
			found = append(found, p.ImportPath+" is in no room")
			continue
		}
		for _, imported := range p.Imports {
			if reason := broken(room, imported); reason != "" {
				found = append(found, fmt.Sprintf("%s imports %s: %s", p.ImportPath, imported, reason))
			}
		}
	}
	return found
}

// roomOf finds the room of a package: the longest name that is its folder or
// above it.
func roomOf(path string) (room string, ok bool) {
	folder, inside := strings.CutPrefix(path, module)
	if !inside {
		return "", false
	}
	for name := range rooms {
		if within(folder, name) && len(name) > len(room) {
			room, ok = name, true
		}
	}
	return room, ok
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// broken says which rule an import breaks, or "".
func broken(room, imported string) string {
	if strings.HasPrefix(imported, module) {
		other, ok := roomOf(imported)
		switch {
		case !ok:
			return "it is in no room"
		case other != room && !slices.Contains(rooms[room], other):
			return "there is no arrow from " + other + " to " + room
		}
		return ""
	}
	door := ""
	for name := range doors {
		if (within(imported, name) && name != "os" || imported == name) && len(name) > len(door) {
			door = name
		}
	}
	first, _, _ := strings.Cut(imported, "/")
	switch {
	case door == "" && strings.Contains(first, "."):
		return "the module has no door"
	case door != "" && !slices.Contains(doors[door], room):
		return door + " has doors in " + strings.Join(doors[door], ", ") + " only"
	}
	return ""
}

func TestArrowsAndDoors(t *testing.T) {
	list := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...")
	out, err := list.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var packages []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 5 {
		t.Fatalf("go list told of %d packages only", len(packages))
	}
	for _, v := range violations(packages) {
		t.Error(v)
	}
}

// The tables catch what they are there for.
func TestViolationsAreFound(t *testing.T) {
	for _, c := range []struct{ from, imports, want string }{
		{"mcpguard/mcpproxy", "mcpguard/store", "no arrow from store to mcpproxy"},
		{"mcpguard/mcpproxy", "mcpguard/identity", "no arrow from identity to mcpproxy"},
		{"mcpguard/mcpproxy", "mcpguard/toolpolicy", "no arrow from toolpolicy to mcpproxy"},
		{"mcpguard/toolcall", "mcpguard/redact", "no arrow from redact to toolcall"},
		{"mcpguard/keyring", "mcpguard/audit", "no arrow from audit to keyring"},
		{"mcpguard/audit", "mcpguard/store", "no arrow from store to audit"},
		{"mcpguard/store", "mcpguard/store/storetest", "no arrow from store/storetest to store"},
		{"mcpguard/replay", "mcpguard/store", "no arrow from store to replay"},
		{"mcpguard/identity", "mcpguard/util", "it is in no room"},
		{"mcpguard/util", "fmt", "mcpguard/util is in no room"},
		{"mcpguard/toolcall", "net/http", "net/http has doors in"},
		{"mcpguard/toolcall", "os", "os has doors in"},
		{"mcpguard/audit", "database/sql/driver", "database/sql has doors in store only"},
		{"mcpguard/redact", "net/http/httputil", "net/http has doors in"},
		{"mcpguard/toolpolicy", "os/exec", "os/exec has doors in"},
		{"mcpguard/audit", "modernc.org/sqlite/lib", "modernc.org/sqlite has doors in store only"},
		{"mcpguard/mcpproxy", "go.yaml.in/yaml/v4", "go.yaml.in/yaml has doors in"},
		{"mcpguard/store", "github.com/spf13/cobra", "github.com/spf13 has doors in"},
		{"mcpguard/cmd/mcpguard", "github.com/spf13/cobra", ""},
		{"mcpguard/cmd/mcpguard", "github.com/gorilla/mux", "the module has no door"},
		{"mcpguard/cmd/mcpguard", "mcpguard/mcpproxy", ""},
		{"mcpguard/identity", "golang.org/x/time/rate", ""},
		{"mcpguard/toolpolicy", "regexp", ""},
		{"mcpguard/keyring", "os/user", ""},
	} {
		found := violations([]pkg{{ImportPath: c.from, Imports: []string{c.imports}}})
		switch {
		case c.want == "" && len(found) > 0:
			t.Errorf("%s importing %s is reported: %v", c.from, c.imports, found)
		case c.want != "" && (len(found) != 1 || !strings.Contains(found[0], c.want)):
			t.Errorf("%s importing %s: reported %v, want %q", c.from, c.imports, found, c.want)
		}
	}
}

// The arrows lead one way: a room never reaches itself over others.
func TestArrowsHaveNoCircle(t *testing.T) {
	var visit func(room string, trail []string)
	visit = func(room string, trail []string) {
		if slices.Contains(trail, room) {
			t.Fatalf("the arrows run in a circle: %v", append(trail, room))
		}
		for _, next := range rooms[room] {
			if _, ok := rooms[next]; !ok {
				t.Fatalf("%s has an arrow to %s, which is no room", room, next)
			}
			visit(next, append(trail, room))
		}
	}
	for room := range rooms {
		visit(room, nil)
	}
}
