package toolcall

import (
	"net/url"
	"strconv"
	"strings"
)

// reference is where a local $ref of a schema leads.
type reference struct {
	next     JSON // in one step
	last     JSON // by further references; zero when they lead nowhere, or round
	fallback JSON // the default that is declared there
}

// All references of a schema are followed once, when its tool is read: what its
// upstream writes must not cost anything with every call.
const (
	// maxReferenceSteps is how many references may lead to each other.
	maxReferenceSteps = 16
	// maxPointerSteps is how deep a reference may point.
	maxPointerSteps = 128
)

// readings is how many bytes may be read of a schema to learn one thing about it:
// each of its own some times. What lies beyond is not known, so it declares nothing.
func readings(schema JSON) int { return 16*schema.Len() + 4<<10 }

// references follows the references of one schema.
type references struct {
	schema JSON
	found  map[string]reference
	inside map[string]map[string]JSON // what containers hold, by their pointers
	left   int                        // bytes that may still be read
}

func referencesOf(schema JSON) map[string]reference {
	r := references{
		schema: schema,
		found:  map[string]reference{},
		inside: map[string]map[string]JSON{},
		left:   readings(schema),
	}
	const key = `"$ref"`
	text := schema.text()
	for at := strings.Index(text, key); at >= 0; {
		// In a proved text this is a whole string, and before a colon a name.
		at = skipSpace(text, at+len(key))
		if at < len(text) && text[at] == ':' {
			if at = skipSpace(text, at+1); text[at] == '"' {
				r.follow(unquote(text[at:skipString(text, at)]))
			}
		}
		next := strings.Index(text[at:], key)
		if next < 0 {
			break
		}
		at += next
	}
	return r.found
}

func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\n' || s[i] == '\r') {
		i++
	}
	return i
}

// follow notes where a reference leads, however often it stands in the schema.
func (r *references) follow(ref string) {
	if _, known := r.found[ref]; known {
		return
	}
	to := reference{next: r.target(ref)}
	at := to.next
	for range maxReferenceSteps {
		onward, more := r.member(at, "$ref").Str()
		if !more {
			to.last, to.fallback = at, r.member(at, "default")
			break
		}
		at = r.target(onward)
	}
	if r.left < 0 {
		to = reference{}
	}
	r.found[ref] = to
}

func (r *references) member(of JSON, name string) JSON {
	if r.left -= of.Len(); r.left < 0 {
		return JSON{}
	}
	return of.Member(name)
}

// target is what a JSON pointer in a URI fragment (RFC 6901, section 6) names in
// the schema; zero when it leads elsewhere or nowhere.
func (r *references) target(ref string) JSON {
	fragment, local := strings.CutPrefix(ref, "#")
	pointer, err := url.PathUnescape(fragment)
	if !local || err != nil || strings.Count(pointer, "/") > maxPointerSteps || pointer != "" && pointer[0] != '/' {
		return JSON{}
	}
	return r.at(pointer)
}

func (r *references) at(pointer string) JSON {
	if pointer == "" {
		return r.schema
	}
	last := strings.LastIndexByte(pointer, '/')
	parent, token := pointer[:last], pointerEscapes.Replace(pointer[last+1:])
	children, known := r.inside[parent]
	if !known {
		children = r.children(r.at(parent))
		r.inside[parent] = children
	}
	return children[token]
}

// children are the members of an object and the elements of an array, as the
// last token of a pointer names them.
func (r *references) children(of JSON) map[string]JSON {
	if r.left -= of.Len(); r.left < 0 || of.Type() < ArrayType {
		return nil
	}
	all := map[string]JSON{}
	for m := of.Members(); m.Next(); {
		all[m.Name()] = m.Value()
	}
	i := 0
	for e := of.Elements(); e.Next(); i++ {
		all[strconv.Itoa(i)] = e.Value()
	}
	return all
}

var pointerEscapes = strings.NewReplacer("~1", "/", "~0", "~")
