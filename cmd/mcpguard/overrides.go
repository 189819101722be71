package main

import (
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"mcpguard/identity"
)

// overrides is what the command line says over the file and the environment.
// The zero value says nothing.
type overrides struct {
	settings    map[string]string // by key of the file
	upstream    string            // --upstream: the URL of the only upstream
	upstreamCmd string            // --upstream-cmd: the command line of the only upstream
	wrapped     *Upstream         // the only upstream, as wrap was told of it
	named       bool              // a file is read only where it is named
}

// flagUpstreamName is the name of the upstream that --upstream or
// --upstream-cmd gives; rules of a policy call its tools by it.
const flagUpstreamName = "upstream"

// bind declares the flags that every command which loads a configuration has.
func (o *overrides) bind(flags *pflag.FlagSet) {
	o.settings = map[string]string{}
	set := func(key, usage string) *pflag.Flag {
		name := strings.TrimPrefix((&settingKey{key: key}).flag(), "--")
		return flags.VarPF(&settingFlag{o.settings, key}, name, "", usage)
	}
	set("listen", "agents' listener, `host:port`")
	set("policy", "policy file or folder, `PATH`")
	set("store", "where the record is kept, `sqlite://PATH`")
	set("keys", "the keyring's folder, `DIR`")
	set("record.durability", "strict, overlapped or relaxed, `MODE`")
	trust := set("identity.local.trust_loopback", "take loopback requests without a credential for the local user's")
	trust.NoOptDefVal, trust.Value = "true", switchFlag{trust.Value}
	flags.StringVar(&o.upstream, "upstream", "", "the only upstream, a `URL`; called \"upstream\" in the policy")
	flags.StringVar(&o.upstreamCmd, "upstream-cmd", "", "the only upstream, a `COMMAND` line; called \"upstream\" in the policy")
}

// standard gives a setting another default: what neither a flag nor a variable
// says. It is for commands that read no file.
func (o *overrides) standard(env *environment, key, value string) {
	if _, set := env.lookup((&settingKey{key: key}).variable()); o.settings[key] == "" && !set {
		o.settings[key] = value
	}
}

// settingFlag is a flag that overrides one key of the file.
type settingFlag struct {
	settings map[string]string
	key      string
}

func (f *settingFlag) Set(text string) error {
	f.settings[f.key] = text
	return nil
}

func (f *settingFlag) String() string { return f.settings[f.key] }

func (f *settingFlag) Type() string { return "text" }

// switchFlag is one that is on where it is named; help shows it without a value.
type switchFlag struct{ pflag.Value }

func (switchFlag) Type() string { return "bool" }

// flagUpstream makes the upstream that the command line names.
func (l *loader) flagUpstream() {
	l.given["upstreams"] = true
	u := Upstream{Name: flagUpstreamName, Limits: l.config.Limits, Pins: l.config.Pins}
	what := "upstreams." + flagUpstreamName
	if l.flags.upstream != "" {
		from := origin{name: "--upstream"}
		address, err := checkURL(l.flags.upstream)
		if err != nil {
			l.mistake(from, err.Error(), hintOf(err))
		}
		u.URL, u.Address = identity.NewSecret(l.flags.upstream), address
		l.note(what+".url", shownURL(l.flags.upstream, address), from)
	}
	if l.flags.upstreamCmd != "" {
		from := origin{name: "--upstream-cmd"}
		if l.flags.upstream != "" {
			l.mistake(from, "there is an --upstream too", "one of them")
		}
		words, err := splitCommand(l.flags.upstreamCmd)
		if err != nil {
			l.mistake(from, err.Error(), "")
			return
		}
		u.Command = words[0]
		for _, w := range words[1:] {
			u.Args = append(u.Args, identity.NewSecret(w))
		}
		l.note(what+".command", u.Command, from)
		l.note(what+".args", "["+strings.Join(shownArgs(words[1:]), ", ")+"]", from)
	}
	l.config.Upstreams = []Upstream{u}
}

// splitCommand splits a command line into words at white space. Single quotes,
// double quotes and a backslash keep characters together; nothing is expanded,
// and no shell sees it.
func splitCommand(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	inWord, escaped := false, false
	for _, r := range line {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, inWord = r, true
		case quote == 0 && (r == ' ' || r == '\t' || r == '\n'):
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("the command line ends inside a quotation")
	}
	if inWord {
		words = append(words, word.String())
	}
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("the command line is empty")
	}
	return words, nil
}
