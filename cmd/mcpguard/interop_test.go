package main_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The interop tests put mcpguard between clients and servers that nobody here
// wrote, with a policy that allows everything, and compare what arrives with
// what arrives without mcpguard (DESIGN law 10: lossless).

// TestInteropBytes compares the very bytes of every answer.
func TestInteropBytes(t *testing.T) {
	binary := buildGuard(t)
	program, _ := node(t)

	t.Run("filesystem over stdio", func(t *testing.T) {
		files := sampleFiles(t)
		server := []string{program, script(t, "server-filesystem", "dist", "index.js"), files}
		direct := startStdio(t, server[0], server[1:]...)
		endpoint := startGuard(t, binary, allowAll, "--upstream-cmd", strings.Join(server, " "))
		compareWires(t, direct, &httpWire{url: endpoint, version: "2025-11-25"}, filesystemSession(files))
	})

	t.Run("everything over HTTP", func(t *testing.T) {
		upstream := startNPMEverything(t)
		endpoint := startGuard(t, binary, allowAll, "--upstream", upstream)
		for _, version := range []string{"2025-11-25", "2025-06-18", "2025-03-26"} {
			t.Run(version, func(t *testing.T) {
				compareWires(t, &httpWire{url: upstream, version: version}, &httpWire{url: endpoint, version: version}, everythingSession(version))
			})
		}
	})

	t.Run("modern over HTTP", func(t *testing.T) {
		upstream := startEverything(t, false)
		endpoint := startGuard(t, binary, allowAll, "--upstream", upstream)
		compareWires(t, &httpWire{url: upstream, version: modernVersion}, &httpWire{url: endpoint, version: modernVersion}, modernRequests())
	})
}

// toolFailed is the Inspector's exit status after a result with isError: true.
const toolFailed = 5

// TestInteropInspector drives mcpguard with the official Inspector.
func TestInteropInspector(t *testing.T) {
	binary := buildGuard(t)
	program, _ := node(t)
	inspector := script(t, "inspector", "clients", "launcher", "build", "index.js")
	catalog := "MCP_CATALOG_PATH=" + filepath.Join(t.TempDir(), "catalog.json")
	// inspect is what the Inspector prints, and the status with which it says
	// that a tool failed.
	inspect := func(t *testing.T, target []string, question ...string) string {
		t.Helper()
		// What follows "--" is a command to run: it goes last.
		args := append([]string{inspector, "--cli"}, question...)
		out, err := runNode(t, "", []string{catalog}, append(args, target...)...)
		status := 0
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			status = exit.ExitCode()
		}
		if err != nil && status != toolFailed {
			t.Fatalf("%v\n%s", err, out)
		}
		if len(out) < len(`{"tools":[]}`) {
			t.Fatalf("%v: the Inspector printed %q", question, out)
		}
		return fmt.Sprintf("%sstatus %d", out, status)
	}
	at := func(url, era string) []string {
		return []string{"--server-url", url, "--transport", "http", "--protocol-era", era}
	}

	t.Run("filesystem over stdio", func(t *testing.T) {
		files := sampleFiles(t)
		server := []string{program, script(t, "server-filesystem", "dist", "index.js"), files}
		endpoint := startGuard(t, binary, allowAll, "--upstream-cmd", strings.Join(server, " "))
		for _, question := range [][]string{
			{"--method", "tools/list"},
			{"--method", "tools/call", "--tool-name", "read_text_file", "--tool-arg", "path=" + filepath.Join(files, "notes.txt")},
			{"--method", "tools/call", "--tool-name", "read_text_file", "--tool-arg", "path=/etc/hostname"},
		} {
			want := inspect(t, append([]string{"--"}, server...), question...)
			for _, era := range []string{"legacy", "auto"} {
				if got := inspect(t, at(endpoint, era), question...); got != want {
					t.Errorf("%v, %s era:\ndirect\n%s\nthrough mcpguard\n%s", question, era, want, got)
				}
			}
		}
	})

	t.Run("everything over HTTP", func(t *testing.T) {
		upstream := startNPMEverything(t)
		endpoint := startGuard(t, binary, allowAll, "--upstream", upstream)
		for _, question := range [][]string{
			{"--method", "tools/list"},
			{"--method", "tools/call", "--tool-name", "echo", "--tool-arg", "message=good morning"},
			{"--method", "tools/call", "--tool-name", "get-structured-content", "--tool-arg", "location=Chicago"},
			{"--method", "prompts/get", "--prompt-name", "simple-prompt"},
			{"--method", "resources/read", "--uri", "demo://resource/static/document/features.md"},
		} {
			for _, era := range []string{"legacy", "auto"} {
				want := inspect(t, at(upstream, era), question...)
				if got := inspect(t, at(endpoint, era), question...); got != want {
					t.Errorf("%v, %s era:\ndirect\n%s\nthrough mcpguard\n%s", question, era, want, got)
				}
			}
		}
	})

	t.Run("modern over HTTP", func(t *testing.T) {
		upstream := startEverything(t, false)
		endpoint := startGuard(t, binary, allowAll, "--upstream", upstream)
		for _, question := range [][]string{
			{"--method", "tools/list"},
			{"--method", "tools/call", "--tool-name", "test_simple_text"},
		} {
			want := inspect(t, at(upstream, "modern"), question...)
			if got := inspect(t, at(endpoint, "modern"), question...); got != want {
				t.Errorf("%v:\ndirect\n%s\nthrough mcpguard\n%s", question, want, got)
			}
		}
	})
}

// startNPMEverything starts the reference server of the protocol's authors, which
// speaks the legacy era, and returns its endpoint.
func startNPMEverything(t *testing.T) string {
	t.Helper()
	program, _ := node(t)
	listen := freeAddress(t)
	_, port, _ := strings.Cut(listen, ":")
	server := exec.Command(program, script(t, "server-everything", "dist", "index.js"), "streamableHttp")
	server.Env = append(os.Environ(), "PORT="+port)
	startProcess(t, server, listen)
	return "http://" + listen + "/mcp"
}

// sampleFiles is a folder for the filesystem server.
func sampleFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"notes.txt":  "first line\nsecond line with \"quotes\" and ünïcödé\n",
		"data.json":  `{"big": 9007199254740993, "html": "<b>&amp;</b>"}`,
		"empty.txt":  "",
		"long.txt":   strings.Repeat("a long file\n", 5000),
		"binary.bin": "\x00\x01\xff",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func filesystemSession(files string) []string {
	path := func(name string) string { return fmt.Sprintf(`{"path":%q}`, filepath.Join(files, name)) }
	return append(legacyOpening("2025-11-25"),
		ask(1, "tools/list", `{}`),
		call(2, "list_allowed_directories", `{}`),
		call(3, "list_directory", path("")),
		call(4, "read_text_file", path("notes.txt")),
		call(5, "read_text_file", path("data.json")),
		call(6, "read_text_file", path("empty.txt")),
		call(7, "read_text_file", path("long.txt")),
		call(8, "read_media_file", path("binary.bin")),
		call(9, "directory_tree", path("")),
		call(10, "get_file_info", path("notes.txt")),
		call(11, "read_multiple_files", fmt.Sprintf(`{"paths":[%q,%q]}`, filepath.Join(files, "notes.txt"), filepath.Join(files, "missing.txt"))),
		call(12, "edit_file", fmt.Sprintf(`{"path":%q,"edits":[{"oldText":"first","newText":"1st"}],"dryRun":true}`, filepath.Join(files, "notes.txt"))),
		call(13, "search_files", fmt.Sprintf(`{"path":%q,"pattern":"*.txt"}`, files)),
		call(14, "read_text_file", path("missing.txt")),
		call(15, "read_text_file", `{"path":"/etc/hostname"}`),
		call(16, "read_text_file", `{}`),
		ask(18, "ping", `{}`),
		ask(19, "resources/list", `{}`),
	)
}

func everythingSession(version string) []string {
	return append(legacyOpening(version),
		ask(1, "tools/list", `{}`),
		call(2, "echo", `{"message":"good <morning> & \u00e9"}`),
		call(3, "get-sum", `{"a":1.5,"b":2}`),
		call(4, "get-tiny-image", `{}`),
		call(5, "get-structured-content", `{"location":"Chicago"}`),
		call(6, "get-annotated-message", `{"messageType":"error","includeImage":true}`),
		call(7, "get-resource-links", `{"count":3}`),
		call(8, "get-sum", `{"a":"one"}`),
		ask(10, "prompts/list", `{}`),
		ask(11, "prompts/get", `{"name":"args-prompt","arguments":{"city":"Lagos"}}`),
		ask(12, "prompts/get", `{"name":"no-such-prompt"}`),
		ask(13, "resources/list", `{}`),
		ask(14, "resources/templates/list", `{}`),
		ask(15, "resources/read", `{"uri":"demo://resource/static/document/features.md"}`),
		ask(16, "resources/read", `{"uri":"demo://resource/none"}`),
		ask(17, "completion/complete", `{"ref":{"type":"ref/prompt","name":"completable-prompt"},"argument":{"name":"department","value":"E"}}`),
		ask(18, "ping", `{}`),
		`{"jsonrpc":"2.0","id":"a string id","method":"ping"}`,
	)
}

func modernRequests() []string {
	requests := []string{
		ask(1, "tools/list", `{}`),
		call(2, "test_simple_text", `{}`),
		call(3, "test_image_content", `{}`),
		call(4, "test_audio_content", `{}`),
		call(5, "test_embedded_resource", `{}`),
		call(6, "test_multiple_content_types", `{}`),
		call(7, "test_error_handling", `{}`),
		ask(9, "prompts/list", `{}`),
		ask(10, "prompts/get", `{"name":"test_simple_prompt"}`),
		ask(11, "resources/list", `{}`),
		ask(12, "resources/templates/list", `{}`),
		ask(13, "resources/read", `{"uri":"test://static-text"}`),
		ask(14, "resources/read", `{"uri":"test://none"}`),
	}
	for i, request := range requests {
		requests[i] = modern(request)
	}
	return requests
}
