package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mcpguard/toolcall"
	"mcpguard/toolpolicy"
)

// explainFlags are the call that a person asks about.
type explainFlags struct {
	as      string   // of the test file
	groups  []string // or: who asks, piece by piece
	subject string
	issuer  string
	client  string
	person  string

	targets map[toolcall.Kind]*string
	args    string // JSON, @FILE, or - for the standard input
	at      string
	tools   string
	tests   string

	record  string // or: a call of the record, by its id or how that begins
	session string
	store   string
}

func (f *explainFlags) callerGiven() bool {
	return len(f.groups) > 0 || f.as+f.subject+f.issuer+f.client+f.person != ""
}

func (f *explainFlags) targetGiven() bool {
	for _, target := range f.targets {
		if *target != "" {
			return true
		}
	}
	return false
}

func newPolicyExplainCommand(env *environment) *cobra.Command {
	f := explainFlags{targets: map[toolcall.Kind]*string{}}
	cmd := &cobra.Command{
		Use:   "explain [FILE|FOLDER]",
		Short: "Say why a policy decides about a call as it does",
		Long: `Say why a policy decides about a call as it does: every rule about the call, with
its file and line and what each of its conditions came to, the roles that the
caller has and lacks, and what is redacted. Without a policy it is that of the
configuration. Nothing is called.

Who asks is a name from the policy's tests (--as; --tests says where they are), or
is put together from --groups, --subject and --client. Values of the arguments
are not repeated, so the answer can be passed on. Without --tools every argument
counts as declared by its tool, and no default is known.

With --record it is a call of the record, judged by the policy of then, or by the
one that is named, with the arguments that the record keeps. Where redaction
changed what a condition comes to, the answer says so.

Exit code 0, whatever the decision is.`,
		Example: `  mcpguard policy explain policy.yaml --as sam --call payments/refund --args '{"amount": 501}'
  mcpguard policy explain --groups support --call crm/get_customer --tools tools.lock.json -o json
  mcpguard policy explain policies/ --groups ops --resource fs/file:///srv/a.txt
  mcpguard policy explain --record 019a8f2e --session latest`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.record != "" {
				return explainRecorded(cmd.Context(), env, strings.Join(args, ""), &f)
			}
			if len(args) == 0 {
				path, err := configuredPolicy(env, "explain")
				if err != nil {
					return err
				}
				args = []string{path}
			}
			return explainCall(env, args[0], &f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.as, "as", "", "who asks: a `CALLER` of the policy's tests")
	flags.StringSliceVar(&f.groups, "groups", nil, "who asks: the `GROUPS` of the caller, as policies name them")
	flags.StringVar(&f.subject, "subject", "", "who asks: the caller's `SUBJECT` (default \"somebody\")")
	flags.StringVar(&f.issuer, "issuer", "", "who asks: the `ISSUER` that vouches for the subject (default \"test\")")
	flags.StringVar(&f.client, "client", "", "who asks: the verified `CLIENT`")
	flags.StringVar(&f.person, "person", "", "who asks: the `PERSON` accountable (default the subject)")
	for kind := toolcall.Tool; kind <= toolcall.Method; kind++ {
		name := kind.String()
		if kind == toolcall.Tool {
			name = "call"
		}
		f.targets[kind] = flags.String(name, "", "what is asked for: a "+kind.String()+", `UPSTREAM/"+explainedBy(kind)+"`")
	}
	flags.StringVar(&f.args, "args", "", "the arguments: a `JSON` object, @FILE, or - for the standard input")
	flags.StringVar(&f.at, "at", "", "when the call comes in, a `TIME` of RFC 3339 (default now)")
	flags.StringVar(&f.tools, "tools", "", "the recorded catalogue, a `FILE` (default that of the tests, with --as)")
	flags.StringVar(&f.tests, "tests", "", "the tests that --as takes callers from, a `FILE` (default policy_test.yaml beside the policy)")
	flags.StringVar(&f.record, "record", "", "a call of the record: its `ID`, or how that begins")
	flags.StringVar(&f.session, "session", "latest", "the `SESSION` of that call: id, prefix or latest")
	bindStore(cmd, &f.store)
	return cmd
}

// explainedBy is what follows the upstream in the flag of a kind.
func explainedBy(kind toolcall.Kind) string {
	if kind == toolcall.Resource {
		return "URI"
	}
	return "NAME"
}

func explainCall(env *environment, path string, f *explainFlags) error {
	policy, err := loadPolicy(path)
	if upstream, name, ok := strings.Cut(path, "/"); ok && upstream != "" && name != "" && !isYAML(path) && !f.targetGiven() && errors.Is(err, fs.ErrNotExist) {
		return fail(exitUsage, err, "--call "+path)
	}
	if err != nil {
		return usageError(err)
	}
	call, err := f.call(env, path)
	if err != nil {
		return usageError(err)
	}
	e := policy.Explain(call)
	if env.output != outputTable {
		return writeItem(env, explanationInJSON(call, &e))
	}
	return printExplanation(env.stdout, call, &e)
}

// call puts the call together that the flags describe.
func (f *explainFlags) call(env *environment, policy string) (*toolcall.Call, error) {
	c := &toolcall.Call{At: env.now()}
	target := ""
	for kind := toolcall.Tool; kind <= toolcall.Method; kind++ {
		switch given := *f.targets[kind]; {
		case given == "":
		case target != "":
			return nil, hinted{"explain a call: it is about one thing, and two are named", "--call upstream/tool"}
		default:
			c.Kind, target = kind, given
		}
	}
	var found bool
	if c.Upstream, c.Name, found = strings.Cut(target, "/"); !found || c.Upstream == "" || c.Name == "" {
		return nil, hinted{"explain a call: it must be named as upstream/name", "--call upstream/tool"}
	}
	if f.at != "" {
		at, err := time.Parse(time.RFC3339, f.at)
		if err != nil {
			return nil, hinted{"explain a call: --at must be a time of RFC 3339", "--at 2027-01-31T22:15:00Z"}
		}
		c.At = at
	}
	var err error
	if c.Args, err = f.arguments(env); err != nil {
		return nil, err
	}
	tools := f.tools
	if c.Caller, tools, err = f.caller(policy, tools); err != nil {
		return nil, err
	}
	if c.Kind == toolcall.Tool {
		c.Def, err = definitionOf(c, tools)
	}
	return c, err
}

// definitionOf finds the tool in a recorded catalogue. Without one it declares
// what the call gives.
func definitionOf(c *toolcall.Call, tools string) (*toolcall.ToolDef, error) {
	if tools == "" {
		return toolpolicy.Declaring(c.Upstream, c.Name, c.Args), nil
	}
	catalogue, err := readCatalogueFile(tools)
	if err != nil {
		return nil, err
	}
	def := catalogue.Tool(c.Upstream, c.Name)
	if def == nil {
		return nil, hinted{fmt.Sprintf("explain a call: %s has no tool %s", tools, c.Target()), nearestTool(catalogue, c.Target())}
	}
	return def, nil
}

// arguments reads --args.
func (f *explainFlags) arguments(env *environment) (toolcall.JSON, error) {
	text := f.args
	switch name, file := strings.CutPrefix(f.args, "@"); {
	case f.args == "":
		return toolcall.JSON{}, nil
	case file:
		read, err := readBounded(name, maxPolicyFile)
		if err != nil {
			return toolcall.JSON{}, fmt.Errorf("read the arguments: %w", err)
		}
		text = string(read)
	case f.args == "-":
		read, err := io.ReadAll(io.LimitReader(env.stdin, maxPolicyFile+1))
		if err != nil {
			return toolcall.JSON{}, fmt.Errorf("read the arguments: %w", err)
		}
		text = string(read)
	}
	args, err := toolcall.Parse(strings.TrimSpace(text), toolcall.Limits{Bytes: maxPolicyFile, Depth: 128})
	const example = `--args '{"id": 7}'`
	if err != nil {
		return args, hinted{fmt.Sprintf("read the arguments: %s", err), example}
	}
	if args.Type() != toolcall.ObjectType {
		return args, hinted{"read the arguments: they must be a JSON object", example}
	}
	return args, nil
}

// caller is who asks, and the catalogue of the tests where none was named.
func (f *explainFlags) caller(policy, tools string) (toolcall.Caller, string, error) {
	if f.as == "" {
		subject := cmp.Or(f.subject, "somebody")
		return toolcall.Caller{Subject: subject, Issuer: cmp.Or(f.issuer, "test"), Client: f.client,
			Person: cmp.Or(f.person, subject), Groups: f.groups}, tools, nil
	}
	if whole := (&explainFlags{groups: f.groups, subject: f.subject, issuer: f.issuer, client: f.client, person: f.person}); whole.callerGiven() {
		return toolcall.Caller{}, "", hinted{"explain a call: --as names a whole caller, so it takes no groups, subject, issuer, client or person", "--as alone"}
	}
	path := cmp.Or(f.tests, testsBeside(policy))
	text, err := readBounded(path, maxPolicyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return toolcall.Caller{}, "", hinted{fmt.Sprintf("explain a call: --as takes a caller of the policy's tests, and there is no %s", path),
			"--tests FILE, or --groups"}
	}
	if err != nil {
		return toolcall.Caller{}, "", fmt.Errorf("read policy tests: %w", err)
	}
	tests, err := loadTests(path, text)
	if err != nil {
		return toolcall.Caller{}, "", err
	}
	c, ok := tests.Caller(f.as)
	if !ok {
		return c, "", hinted{fmt.Sprintf("explain a call: %s has no caller %q", path, f.as), "--as " + cmp.Or(nearest(f.as, tests.Callers()), strings.Join(tests.Callers(), ", "))}
	}
	if tools == "" && tests.ToolsPath() != "" {
		tools = besideFile(path, tests.ToolsPath())
	}
	return c, tools, nil
}

// testsBeside is where the tests of a policy are usually: policy_test.yaml in its
// folder, whether the policy is that folder or a file in it.
func testsBeside(policy string) string {
	if info, err := os.Stat(policy); err != nil || !info.IsDir() {
		policy = filepath.Dir(policy)
	}
	return filepath.Join(policy, "policy_test.yaml")
}
