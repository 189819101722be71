package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v4"
)

//go:embed connect/clients.yaml
var clientTable []byte

// agentClient is an agent, and how it is told of a server.
type agentClient struct {
	Name    string            `yaml:"name"`
	Title   string            `yaml:"title"`
	Format  string            `yaml:"format"`  // json, toml or yaml
	Files   map[string]string `yaml:"files"`   // user, project, macos, linux, windows
	Asks    bool              `yaml:"asks"`    // it asks a person for the token
	Refuses string            `yaml:"refuses"` // what a name may not hold
	HTTP    string            `yaml:"http"`    // template; "" needs a bridge
	Stdio   string            `yaml:"stdio"`   // template
}

// clients is the table. It is part of the program: a mistake in it is one of ours,
// and the tests read all of it.
func clients() ([]agentClient, error) {
	var all []agentClient
	if err := yaml.Unmarshal(clientTable, &all); err != nil {
		return nil, fmt.Errorf("read the table of clients: %w", err)
	}
	return all, nil
}

// clientNames lists the clients, for people.
func clientNames() string {
	all, err := clients()
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}

// clientEntry is what is printed.
type clientEntry struct {
	Client    string            `json:"client"`
	Format    string            `json:"format"`
	Entry     string            `json:"entry"`
	Files     map[string]string `json:"files"`               // where it goes: user, project, macos, linux, windows
	Variable  string            `json:"variable,omitempty"`  // has to hold the token
	TokenFile string            `json:"tokenFile,omitempty"` // has to hold the token

	title string
	asks  bool
}

// entry fills the template of a client.
func (o *connectOptions) entry(name string, command []string) (*clientEntry, error) {
	all, err := clients()
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range all {
		if all[i].Name == name {
			return o.fill(&all[i], command)
		}
		names = append(names, all[i].Name)
	}
	hint := strings.Join(names, ", ")
	if near := nearest(name, names); near != "" {
		hint = near
	}
	return nil, hinted{fmt.Sprintf("there is no client %q", name), hint}
}

func (o *connectOptions) fill(c *agentClient, command []string) (*clientEntry, error) {
	if c.Refuses != "" && strings.Contains(o.name, c.Refuses) {
		return nil, hinted{fmt.Sprintf("--name: %s takes no %s in the name of a server", c.Title, c.Refuses), "--name " + strings.ReplaceAll(o.name, c.Refuses, "-")}
	}
	e := &clientEntry{Client: c.Name, Format: c.Format, Files: c.Files, title: c.Title}
	data := struct {
		Name, URL, Variable, Command string
		Args                         []string
		Token                        bool
	}{Name: o.name, URL: o.url, Variable: bridgeToken, Command: o.command, Token: o.auth == authToken}
	text := c.Stdio
	switch {
	case len(command) > 0:
		data.Args = append([]string{"wrap", "--name", o.name, "--policy", o.policy, "--"}, command...)
	case c.HTTP == "":
		data.Args = []string{"bridge", "--url", o.url}
		if data.Token {
			data.Args = append(data.Args, "--token-file", o.tokenFile)
			e.TokenFile = o.tokenFile
		}
	default:
		text = c.HTTP
		e.asks = c.Asks && data.Token
		if data.Token && !c.Asks {
			e.Variable = bridgeToken
		}
	}
	parsed, err := template.New(c.Name).Funcs(template.FuncMap{"json": quoted}).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read the table of clients: %w", err)
	}
	var b strings.Builder
	if err := parsed.Execute(&b, data); err != nil {
		return nil, fmt.Errorf("fill the entry of %s: %w", c.Name, err)
	}
	e.Entry = b.String()
	return e, nil
}

// quoted is a text, or a list of them, as JSON on one line. Its strings are
// strings of TOML and of YAML as well.
func quoted(v any) (string, error) {
	if list, ok := v.([]string); ok {
		var all []string
		for _, text := range list {
			q, err := quoted(text)
			if err != nil {
				return "", err
			}
			all = append(all, q)
		}
		return "[" + strings.Join(all, ", ") + "]", nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimRight(b.String(), "\n"), err
}

// print writes the entry to stdout, and what a person has to know to stderr.
func (e *clientEntry) print(env *environment) error {
	if env.output != outputTable {
		return writeJSON(env.stdout, e)
	}
	if _, err := fmt.Fprint(env.stdout, e.Entry); err != nil {
		return fmt.Errorf("print the entry: %w", err)
	}
	fmt.Fprintf(env.stderr, "%s: put it into %s\n", e.title, e.places())
	switch {
	case e.Variable != "":
		fmt.Fprintf(env.stderr, "the agent's environment has to hold the token in %s\n", e.Variable)
	case e.TokenFile != "":
		fmt.Fprintf(env.stderr, "the token has to be in %s, mode 0600\n", e.TokenFile)
	case e.asks:
		fmt.Fprintf(env.stderr, "%s asks for the token when it first connects\n", e.title)
	}
	return nil
}

// places names the files that the entry may go into on this system.
func (e *clientEntry) places() string {
	system := map[string]string{"darwin": "macos", "windows": "windows"}[runtime.GOOS]
	if system == "" {
		system = "linux"
	}
	var all []string
	for _, kind := range []string{"user", system, "project"} {
		if file := e.Files[kind]; file != "" {
			if kind == "project" {
				file += " in a project"
			}
			all = append(all, file)
		}
	}
	return strings.Join(all, ", or ")
}
