package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The sessions that are compared: the handshake, the lists, calls that succeed,
// and calls that fail in the ways that a server has for it. Nothing in them may
// depend on the time of day.

func listsOnly(string) []string {
	return append(legacyOpening("2025-11-25"),
		ask(1, "tools/list", `{}`),
		ask(2, "resources/list", `{}`),
		ask(3, "prompts/list", `{}`),
		ask(4, "ping", `{}`),
	)
}

func memorySession(string) []string {
	return append(legacyOpening("2025-11-25"),
		ask(1, "tools/list", `{}`),
		call(2, "create_entities", `{"entities":[{"name":"Ünï \"q\"","entityType":"<b>","observations":["a & b","9007199254740993"]},{"name":"other","entityType":"thing","observations":[]}]}`),
		call(3, "create_relations", `{"relations":[{"from":"other","to":"Ünï \"q\"","relationType":"knows"}]}`),
		call(4, "add_observations", `{"observations":[{"entityName":"other","contents":["new"]}]}`),
		call(5, "add_observations", `{"observations":[{"entityName":"nobody","contents":["new"]}]}`),
		call(6, "read_graph", `{}`),
		call(7, "search_nodes", `{"query":"a & b"}`),
		call(8, "open_nodes", `{"names":["other","nobody"]}`),
		call(9, "delete_observations", `{"deletions":[{"entityName":"other","observations":["new"]}]}`),
		call(10, "delete_entities", `{"entityNames":["other"]}`),
		call(11, "read_graph", `{}`),
		call(12, "open_nodes", `{"names":"not a list"}`),
		ask(13, "resources/list", `{}`),
	)
}

func thinkingSession(string) []string {
	return append(legacyOpening("2025-11-25"),
		ask(1, "tools/list", `{}`),
		call(2, "sequentialthinking", `{"thought":"first","nextThoughtNeeded":true,"thoughtNumber":1,"totalThoughts":3}`),
		call(3, "sequentialthinking", `{"thought":"branch","nextThoughtNeeded":true,"thoughtNumber":2,"totalThoughts":1,"branchFromThought":1,"branchId":"b"}`),
		call(4, "sequentialthinking", `{"thought":"","nextThoughtNeeded":false,"thoughtNumber":3,"totalThoughts":3,"isRevision":true,"revisesThought":1}`),
		call(5, "sequentialthinking", `{"thought":1}`),
		call(6, "sequentialthinking", `{}`),
	)
}

func sqliteSession(string) []string {
	return append(legacyOpening("2025-11-25"),
		ask(1, "tools/list", `{}`),
		call(2, "create_table", `{"query":"CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, r REAL)"}`),
		call(3, "write_query", `{"query":"INSERT INTO t (name, r) VALUES ('<&> é', 0.1), (NULL, 1e300)"}`),
		call(4, "read_query", `{"query":"SELECT * FROM t ORDER BY id"}`),
		call(5, "read_query", `{"query":"DELETE FROM t"}`),
		call(6, "read_query", `{"query":"SELECT * FROM missing"}`),
		call(7, "list_tables", `{}`),
		call(8, "describe_table", `{"table_name":"t"}`),
		call(9, "describe_table", `{}`),
		call(10, "write_query", `{"query":"UPDATE t SET name = 'x'"}`),
	)
}

func gitSession(dir string) []string {
	at := func(more string) string { return fmt.Sprintf(`{"path":%q%s}`, dir, more) }
	return append(legacyOpening("2025-11-25"),
		ask(1, "tools/list", `{}`),
		call(2, "git_set_working_dir", at("")),
		call(3, "git_log", at("")),
		call(4, "git_status", at("")),
		call(5, "git_show", at(`,"object":"HEAD"`)),
		call(6, "git_diff", at("")),
		call(7, "git_branch", at(`,"mode":"list"`)),
		call(8, "git_blame", at(`,"filePath":"notes.txt"`)),
		call(9, "git_tag", at(`,"mode":"list"`)),
		call(10, "git_show", at(`,"object":"no-such-object"`)),
		call(11, "git_log", `{"path":"/no/such/repository"}`),
		call(12, "git_checkout", `{}`),
		ask(13, "resources/list", `{}`),
		ask(14, "prompts/list", `{}`),
		ask(15, "resources/templates/list", `{}`),
	)
}

func goplsSession(dir string) []string {
	file := filepath.Join(dir, "main.go")
	return append(legacyOpening("2025-11-25"),
		ask(1, "tools/list", `{}`),
		call(2, "go_workspace", `{}`),
		call(3, "go_search", `{"query":"greet"}`),
		call(4, "go_file_context", fmt.Sprintf(`{"file":%q}`, file)),
		call(5, "go_package_api", `{"packagePaths":["example.com/sample"]}`),
		call(6, "go_symbol_references", fmt.Sprintf(`{"file":%q,"symbol":"greet"}`, file)),
		call(7, "go_diagnostics", fmt.Sprintf(`{"files":[%q]}`, file)),
		call(8, "go_rename_symbol", fmt.Sprintf(`{"file":%q,"symbol":"greet","new_name":"hello"}`, file)),
		call(9, "go_symbol_references", fmt.Sprintf(`{"file":%q,"symbol":"missing"}`, file)),
		call(10, "go_file_context", `{"file":7}`),
		call(11, "go_package_api", `{"packagePaths":["example.com/none"]}`),
		ask(12, "ping", `{}`),
	)
}

func mcpGoSession(string) []string {
	return append(legacyOpening("2025-11-25"),
		ask(1, "tools/list", `{}`),
		call(2, "echo", `{"message":"good <morning> & \u00e9"}`),
		call(3, "add", `{"a":0.1,"b":0.2}`),
		call(4, "add", `{"a":"one"}`),
		call(5, "getTinyImage", `{}`),
		call(6, "get_resource_link", `{}`),
		// Without a token: with one, its last step races its own response.
		call(7, "longRunningOperation", `{"duration":1,"steps":4}`),
		call(8, "echo", `{}`),
		ask(9, "prompts/list", `{}`),
		ask(10, "prompts/get", `{"name":"complex_prompt","arguments":{"temperature":"0.5","style":"plain"}}`),
		ask(11, "prompts/get", `{"name":"no_such_prompt"}`),
		ask(12, "resources/list", `{}`),
		ask(13, "resources/templates/list", `{}`),
		ask(14, "resources/read", `{"uri":"test://static/resource"}`),
		ask(15, "resources/read", `{"uri":"test://none"}`),
		ask(16, "logging/setLevel", `{"level":"error"}`),
		ask(17, "ping", `{}`),
	)
}

func fastMCPSession() []string {
	return append(legacyOpening("2025-11-25"),
		ask(1, "tools/list", `{}`),
		call(2, "add", `{"a":0.1,"b":0.2}`),
		call(3, "add", `{"a":"one"}`),
		ask(4, "tools/call", `{"name":"count","arguments":{"to":5},"_meta":{"progressToken":7}}`),
		call(5, "picture", `{}`),
		call(6, "fail", `{}`),
		ask(7, "resources/list", `{}`),
		ask(8, "resources/read", `{"uri":"file:///notes.txt"}`),
		ask(9, "resources/read", `{"uri":"file:///notes/one.txt"}`),
		ask(10, "resources/read", `{"uri":"file:///missing"}`),
		ask(11, "resources/templates/list", `{}`),
		ask(12, "prompts/list", `{}`),
		ask(13, "prompts/get", `{"name":"commit","arguments":{"changes":"a <b> & c"}}`),
		ask(14, "prompts/get", `{"name":"none"}`),
		ask(15, "ping", `{}`),
		`{"jsonrpc":"2.0","id":"a string id","method":"ping"}`,
	)
}

// sampleRepository is a git repository with two commits and a change.
func sampleRepository(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("git")
	if err != nil {
		lacking(t, "git", err)
	}
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
			"GIT_AUTHOR_NAME=Sam", "GIT_AUTHOR_EMAIL=sam@example.com", "GIT_COMMITTER_NAME=Sam", "GIT_COMMITTER_EMAIL=sam@example.com",
			"GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git("init", "--quiet", "--initial-branch=main")
	write("first line\n")
	git("add", ".")
	git("commit", "--quiet", "--message=A first commit")
	write("first line\nsecond <line>\n")
	git("commit", "--quiet", "--all", "--message=A second: \"quoted\" & ünïcödé")
	git("tag", "v1")
	write("changed\n")
	return dir
}

// sampleModule is a Go module for gopls, with a mistake in it.
func sampleModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module example.com/sample\n\ngo 1.26\n",
		"main.go": "package sample\n\n// Greeting greets.\nconst Greeting = \"<hello> & \"\n\nfunc greet(name string) string { return Greeting + name }\n\n// Greet greets name.\nfunc Greet(name string) string { return greet(name) + 1 }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
