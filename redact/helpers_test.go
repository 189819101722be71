package redact_test

import (
	"testing"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// parse makes a document; tests write JSON that is strict.
func parse(t testing.TB, text string) toolcall.JSON {
	t.Helper()
	j, err := toolcall.Parse(text, toolcall.Limits{Bytes: len(text), Depth: 256})
	if err != nil {
		t.Fatalf("parse the test's own document: %v", err)
	}
	return j
}

// redactor has one profile, pii, of the given paths.
func redactor(t testing.TB, paths ...string) *redact.Redactor {
	t.Helper()
	return redact.New(profile(t, redact.Spec{Name: "pii", Paths: paths}))
}

func profile(t testing.TB, s redact.Spec) *redact.Profile {
	t.Helper()
	p, mistakes := redact.Compile(s)
	if mistakes != nil {
		t.Fatalf("compile the test's own profile: %v", mistakes)
	}
	return p
}

// result names the surface of a document the way the proxy does for a tool
// result: structured content, texts, resource texts and blobs. Around a JSON-RPC
// envelope or without one.
func result(doc toolcall.JSON) redact.Surface {
	r := doc
	if in := doc.Member("result"); !in.IsZero() {
		r = in
	}
	s := redact.Surface{Roots: []toolcall.JSON{r.Member("structuredContent")}}
	for e := r.Member("content").Elements(); e.Next(); {
		block := e.Value()
		resource := block.Member("resource")
		mime, _ := resource.Member("mimeType").Str()
		s.Texts = append(s.Texts, block.Member("text"), resource.Member("text"))
		s.Blobs = append(s.Blobs, redact.Blob{Data: resource.Member("blob"), MIME: mime})
	}
	return s
}

// same reports whether a is b, and not merely equal to it.
func same(a, b toolcall.JSON) bool {
	start, end, ok := a.SpanIn(b)
	return ok && start == 0 && end == b.Len()
}
