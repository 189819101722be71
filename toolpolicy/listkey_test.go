package toolpolicy

import (
	"testing"

	"mcpguard/toolcall"
)

// Two policies with one key show the same: what decides about a list is in the key,
// and what decides about calls alone is not.
func TestListKeyTellsListsApart(t *testing.T) {
	sam := toolcall.Caller{Person: "sam", Subject: "sam", Issuer: "token", Groups: []string{"support"}}
	key := func(rules string) string {
		t.Helper()
		p, err := Compile("policy.yaml", []byte("version: 1\nroles: {support: {groups: [support], "+rules+"}}\n"))
		if err != nil {
			t.Fatal(err)
		}
		return p.ListKey(sam, toolcall.Tool, "crm")
	}
	first := key("allow: [crm/a, {tool: crm/b, args: {n: {max: 5}}}]")
	for rules, same := range map[string]bool{
		"allow: [crm/a, {tool: crm/b, args: {n: {max: 9}}}]":                                             true,
		"allow: [crm/a, {tool: crm/b, args: {n: {max: 5}}}, fs/c]":                                       true,
		"allow: [crm/a, {tool: crm/b, args: {n: {max: 5}}}, {prompt: crm/p}]":                            true,
		"allow: [crm/a, {tool: crm/b, args: {n: {max: 5}}}, {tool: crm/c, observe: true}]":               true,
		"allow: [crm/a, {tool: crm/b, args: {n: {max: 5}}}], deny: [{tool: crm/a, args: {n: {min: 1}}}]": true,
		"allow: [crm/a, crm/b, crm/c]":                                                                   false,
		"allow: [crm/a]":                                                                                 false,
		"allow: [crm/a, {tool: crm/b, args: {n: {max: 5}}}], deny: [crm/a]":                              false,
		"allow: [crm/a, {tool: crm/b, args: {n: {max: 5}}}], deny: [{tool: crm/a, hide: false}]":         false,
		`allow: [crm/a, {tool: crm/b, if: "caller.person == 'sam'"}]`:                                    false,
	} {
		if got := key(rules) == first; got != same {
			t.Errorf("%s has the same key: %v, want %v", rules, got, same)
		}
	}
	if one, other := key(`allow: [{tool: crm/b, if: "caller.person == 'sam'"}]`), key(`allow: [{tool: crm/b, if: "caller.person == 'fran'"}]`); one == other {
		t.Error("two expressions have one key")
	}
	if got := (*Policy)(nil).ListKey(sam, toolcall.Tool, "crm"); got != "" {
		t.Errorf("without a policy the key is %q", got)
	}
}
