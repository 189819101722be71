package mcpproxy

import (
	"strings"
	"testing"

	"mcpguard/toolcall"
)

// What people do not see is found wherever it stands; what scripts and emoji need
// is not taken for it.
func TestHiddenCharacters(t *testing.T) {
	for name, c := range map[string]struct {
		json string
		want bool
	}{
		"plain":                      {`"Refunds a payment.\n\tUp to 500."`, false},
		"an ANSI escape":             {`"\u001b[2J"`, true},
		"a C1 control":               {`"\u009b31m"`, true},
		"NUL":                        {`"a\u0000b"`, true},
		"a backspace":                {`"a\bb"`, true},
		"tag characters":             {`"a` + "\U000e0041\U000e0042" + `"`, true},
		"tags as escapes":            {`"\udb40\udc41"`, true},
		"a zero-width space":         {`"a\u200bb"`, true},
		"a byte order mark":          {`"\ufeffa"`, true},
		"a word joiner":              {`"a\u2060b"`, true},
		"an override":                {`"\u202egnp.exe"`, true},
		"an isolate":                 {`"\u2066a\u2069"`, true},
		"a mark of direction":        {`"a\u200fb"`, true},
		"a soft hyphen":              {`"a\u00adb"`, true},
		"a Hangul filler":            {`"a\u3164b"`, true},
		"blank Braille":              {`"a\u2800b"`, true},
		"a private character":        {`"\ue000"`, true},
		"a line separator":           {`"a\u2028b"`, true},
		"a selector behind a letter": {`"a\ufe0fb"`, true},
		"two selectors":              {`"✔\ufe0f\ufe0f"`, true},
		"bytes in selectors":         {`"😀\udb40\udd01\udb40\udd02"`, true},
		"a joiner between letters":   {`"a\u200db"`, true},
		"a joiner at the end":        {`"👩\u200d"`, true},
		"two joiners":                {`"👩\u200d\u200d👩"`, true},
		"in a member name":           {`{"a\u200bb":1}`, true},
		"deep inside":                {`[{"a":[{"b":["c\u202e"]}]}]`, true},
		"an emoji with a style":      {`"✔️ done, 1️⃣"`, false},
		"a family":                   {`"👨\u200d👩\u200d👧"`, false},
		"a styled emoji, joined":     {`"🏳\ufe0f\u200d🌈"`, false},
		"Persian":                    {`"می\u200cخواهم"`, false},
		"Arabic and Hebrew":          {`"مرحبا שלום"`, false},
		"accents and wide spaces":    {`"Ünïcödé　x"`, false},
		"numbers":                    {`{"a":1e400,"b":[null,true]}`, false},
	} {
		j, err := toolcall.Parse(c.json, toolcall.Limits{Bytes: 1 << 16, Depth: 16})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := hidesText(j); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// Names that can be taken for each other have one skeleton.
func TestSkeletons(t *testing.T) {
	for _, pair := range [][2]string{
		{"get_customer", "get-customer"}, {"get_customer", "GetCustomer"}, {"get_customer", "gеt_customеr"}, // Cyrillic е
		{"refund", "rеfund"}, {"list", "1ist"}, {"list", "Iist"}, {"login", "l0gin"}, {"modern", "modem"}, {"pay", "рау"},
		{"search", "search"}, {"echo", "ｅｃｈｏ"}, {"a.b/c", "ABC"}, {"alpha", "αlphα"}, {"echo", "ec\u200bho"}, {"PAY", "РАУ"},
	} {
		if a, b := skeleton(pair[0]), skeleton(pair[1]); a != b {
			t.Errorf("%q is %q, and %q is %q", pair[0], a, pair[1], b)
		}
	}
	for _, pair := range [][2]string{{"get_customer", "set_customer"}, {"refund", "refunds"}, {"echo", "ocho"}, {"read_file", "read_files"}} {
		if a, b := skeleton(pair[0]), skeleton(pair[1]); a == b {
			t.Errorf("%q and %q are both %q", pair[0], pair[1], a)
		}
	}
}

func TestOddNames(t *testing.T) {
	for name, odd := range map[string]bool{"get_customer": false, "a.b/c-D9": false, "": true, "a b": true, "é": true, "a:b": true,
		strings.Repeat("a", 128): false, strings.Repeat("a", 129): true, "a\x1b": true} {
		if got := oddName(name); got != odd {
			t.Errorf("%q: %t", name, got)
		}
	}
}

// Every member of a definition is in exactly one part: a change of any of them is
// told, and nothing else is.
func TestPartsOfDefinitions(t *testing.T) {
	const base = `{"name":"a","title":"t","description":"d","icons":[],"_meta":{},"inputSchema":{"type":"object"},"outputSchema":{},"annotations":{"title":"t","readOnlyHint":true},"execution":{"taskSupport":"optional"},"novel":1}`
	parse := func(text string) toolcall.JSON {
		j, err := toolcall.Parse(text, toolcall.Limits{Bytes: 1 << 16, Depth: 16})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	was := formOf("crm", toolcall.PinTool, "a", parse(base))
	for _, c := range []struct {
		old, by string
		want    toolcall.PinCauses
	}{
		{`"title":"t","description"`, `"title":"u","description"`, toolcall.CauseWording},
		{`"description":"d",`, ``, toolcall.CauseWording},
		{`"icons":[]`, `"icons":[{}]`, toolcall.CauseWording},
		{`"_meta":{}`, `"_meta":{"a":1}`, toolcall.CauseWording},
		{`"annotations":{"title":"t"`, `"annotations":{"title":"u"`, toolcall.CauseWording},
		{`"inputSchema":{"type":"object"}`, `"inputSchema":{"type":"object","description":"x"}`, toolcall.CauseSchema},
		{`"outputSchema":{},`, ``, toolcall.CauseSchema},
		{`"readOnlyHint":true`, `"readOnlyHint":false`, toolcall.CauseHints},
		{`"annotations":{"title":"t","readOnlyHint":true}`, `"annotations":true`, toolcall.CauseHints | toolcall.CauseWording},
		{`"optional"`, `"required"`, toolcall.CauseHints},
		{`"novel":1`, `"novel":2`, toolcall.CauseOther},
		{`"novel":1`, `"novel":1,"Title":"x"`, toolcall.CauseOther},
		{`"novel":1`, `"novel":1.0`, 0},
	} {
		text := strings.Replace(base, c.old, c.by, 1)
		if text == base {
			t.Fatalf("%s is not there", c.old)
		}
		now := formOf("crm", toolcall.PinTool, "a", parse(text))
		if got := changesOf(&now, &was); got != c.want || (got == 0) != (now.Digest == was.Digest) {
			t.Errorf("%s for %s: %q", c.by, c.old, got)
		}
	}
}

// Every rule can only make it stricter, and none says yes by being forgotten.
func TestPinRules(t *testing.T) {
	all := toolcall.CauseNew | toolcall.CauseWording | toolcall.CauseSchema | toolcall.CauseHints | toolcall.CauseOther | toolcall.CauseHidden | toolcall.CauseName
	alert := PinRules{First: PinAccept, New: PinAlert, Wording: PinAlert, Schema: PinAlert, Hints: PinAlert, Hidden: PinAlert, Names: PinAlert}
	for causes := range all + 1 {
		for _, first := range []bool{true, false} {
			if got := (PinRules{}).state(causes, first); got != toolcall.PinQuarantined {
				t.Errorf("zero rules: %q is %s", causes, got)
			}
			want := toolcall.PinAlerted
			switch {
			case causes&toolcall.CauseOther != 0, causes == 0 && !first:
				want = toolcall.PinQuarantined
			case causes == 0:
				want = toolcall.PinAccepted
			}
			if got := alert.state(causes, first); got != want {
				t.Errorf("alerts: %q, first %t, is %s", causes, first, got)
			}
		}
	}
}

func FuzzDefinitions(f *testing.F) {
	f.Add(`{"name":"a","annotations":{"title":"\u202e"}}`)
	f.Add(`{"tools":[{"name":"a\u200d"}],"":[[["\ufe0f"]]]}`)
	f.Add(`"\ud83d\udc69\u200d"`)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := ParseLock(text); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
		j, err := toolcall.Parse(text, toolcall.Limits{Bytes: 1 << 16, Depth: 64})
		if err != nil {
			return
		}
		hidesText(j)
		name, _ := j.Str()
		if s := skeleton(name); skeleton(s) != s {
			t.Errorf("the skeleton of %q is %q, and its own is another", name, s)
		}
		for kind := toolcall.PinTool; kind <= toolcall.PinInstructions; kind++ {
			p, again := formOf("u", kind, "n", j), formOf("u", kind, "n", j)
			if p != again || p.Digest.IsZero() {
				t.Errorf("%+v and %+v", p, again)
			}
		}
	})
}

func TestLockFilesAreStrict(t *testing.T) {
	for text, want := range map[string]string{
		``:                       "",
		`[]`:                     "it is no object of upstreams",
		`{"crm":[]}`:             `upstream "crm" is no object`,
		`{"crm":{"tools":{}}}`:   `upstream "crm": tools is no list`,
		`{"crm":{"tool":[]}}`:    `upstream "crm": there is no member "tool"`,
		`{"crm":{"tools":[{}]}}`: `upstream "crm": an entry of tools has no name`,
		`{"crm":{"tools":[{"name":"a"},{"name":"a"}]}}`:    `upstream "crm": the tool "a" is there twice`,
		`{"crm":{"tools":[{"name":"a","name":"b"}]}}`:      "",
		`{"crm":{"instructions":{}}}`:                      `upstream "crm": instructions is no text`,
		`{"crm":{"resourceTemplates":[{"name":"a"}]}}`:     `upstream "crm": an entry of resourceTemplates has no uriTemplate`,
		`{"crm":{"tools":[]},"crm":{"tools":[]}}`:          "",
		`{"crm":{"prompts":[{"name":"a"}],"tools":[]}} {}`: "",
	} {
		_, err := ParseLock(text)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	lock, err := ParseLock(`{"crm":{"tools":[{"name":"a"}],"prompts":[{"name":"a"}],"resourceTemplates":[{"uriTemplate":"x:{y}"}],"instructions":"hi"}}`)
	if err != nil {
		t.Fatal(err)
	}
	for kind, name := range map[toolcall.PinKind]string{toolcall.PinTool: "a", toolcall.PinPrompt: "a", toolcall.PinTemplate: "x:{y}", toolcall.PinInstructions: "instructions"} {
		if lock.find(pinKey{"crm", kind}, name) == nil || lock.find(pinKey{"erp", kind}, name) != nil || lock.find(pinKey{"crm", kind}, "b") != nil {
			t.Errorf("the %s is not found", kind)
		}
	}
}
