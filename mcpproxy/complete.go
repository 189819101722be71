package mcpproxy

import (
	"context"
	"strings"

	"mcpguard/toolcall"
)

// complete judges completion/complete by what is to be completed: a prompt or a
// resource that the caller may not see has no completions.
func (p *Proxy) complete(ctx context.Context, x *exchange) {
	ref := x.frame.params.Member("ref")
	if err := noFoldedNames(ref, refNames); err != nil {
		p.refuse(ctx, x, err)
		return
	}
	call, d := x.completed(ref)
	if call != nil {
		kind := map[toolcall.Kind]toolcall.PinKind{toolcall.Prompt: toolcall.PinPrompt, toolcall.Resource: toolcall.PinTemplate}[call.Kind]
		held, err := p.cfg.Pins.holds(ctx, x.ses.up.Name, kind, call.Name)
		if err != nil {
			p.fail(x, err)
			return
		}
		if held {
			call = nil
		}
	}
	if call == nil {
		p.refuse(ctx, x, &Refusal{Stage: "find", Code: codeInvalidParams, Hidden: true, Reason: "nothing to complete has that name"})
		return
	}
	p.admitted(ctx, x, call, d)
}

// completed is the call that a ref makes, if the caller may see what it names: a
// prompt that could be had, or a resource template of which some URI could. A
// ref of another type names nothing.
func (x *exchange) completed(ref toolcall.JSON) (*toolcall.Call, toolcall.Decision) {
	kind, member := toolcall.NoKind, ""
	switch t, _ := ref.Member("type").Str(); t {
	case "ref/prompt":
		kind, member = toolcall.Prompt, "name"
	case "ref/resource":
		kind, member = toolcall.Resource, "uri"
	}
	name, _ := ref.Member(member).Str()
	if name == "" || !x.snap.Visible(x.caller, kind, x.ses.up.Name, name) {
		return nil, toolcall.Decision{}
	}
	call := x.outside(kind, name, x.frame.params.Member("argument"))
	if kind == toolcall.Prompt {
		if d := x.snap.Evaluate(x.outside(kind, name, toolcall.JSON{})); d.Effect == toolcall.Deny {
			return nil, toolcall.Decision{}
		}
	}
	return call, x.unruled()
}

// completionNames are the members of the answer to completion/complete.
var completionNames = []string{"completion", "hasMore", "total", "values"}

// completions takes out of the answer about a resource template what would make
// URIs that the caller may not see. Where the template has another kind of
// expression, the URI is not known, and only who may see any gets to hear.
func completions(_ context.Context, x *exchange, f frame) (frame, error) {
	if x.call.Kind != toolcall.Resource {
		return f, nil
	}
	completion := f.result.Member("completion")
	if noFoldedNames(f.result, completionNames) != nil || noFoldedNames(completion, completionNames) != nil {
		return frame{}, &upstreamError{upstream: x.ses.up.Name, what: "sent completions that two readers would read differently"}
	}
	values := completion.Member("values")
	if values.Type() != toolcall.ArrayType {
		return frame{}, &upstreamError{upstream: x.ses.up.Name, what: "sent completions without the array values"}
	}
	argument, _ := x.frame.params.Member("argument").Member("name").Str()
	template := x.call.Name
	given := x.frame.params.Member("context").Member("arguments")
	for m := given.Members(); m.Next(); {
		if value, ok := m.Value().Str(); ok && m.Name() != argument {
			template, _ = expand(template, m.Name(), value)
		}
	}
	var keep []toolcall.JSON
	hidden := 0
	for e := values.Elements(); e.Next(); {
		value, ok := e.Value().Str()
		uri, expanded := expand(template, argument, value)
		shown := ok && expanded && x.snap.Visible(x.caller, toolcall.Resource, x.ses.up.Name, uri) ||
			ok && !expanded && x.reachable(template+"{") // two readers could read that as anything
		if !shown {
			hidden++
			continue
		}
		keep = append(keep, e.Value())
	}
	if hidden == 0 {
		return f, nil
	}
	edits := []toolcall.Edit{{At: values, With: toolcall.Array(keep...)}}
	if total := completion.Member("total"); !total.IsZero() { // it counts the hidden ones
		edits = append(edits, toolcall.Edit{At: total})
	}
	return f.edited(edits)
}

// expand puts a value in the place of the variable name of a URI template (RFC
// 6570): of {name}, and of {+name}, which keeps reserved characters. It reports
// whether the template has such an expression.
func expand(template, name, value string) (string, bool) {
	const unreserved = "-._~"
	const reserved = unreserved + ":/?#[]@!$&'()*+,;="
	simple := strings.NewReplacer("{"+name+"}", encode(value, unreserved), "{+"+name+"}", encode(value, reserved))
	uri := simple.Replace(template)
	return uri, uri != template
}

// encode percent-encodes every byte but letters, digits and those of keep.
func encode(value, keep string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(keep, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}
