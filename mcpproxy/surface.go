package mcpproxy

import (
	"mcpguard/redact"
	"mcpguard/toolcall"
)

// surfaceOf lists where in a message an upstream's words stand, by every road on
// which they reach a client (law 6): structured content, text, embedded
// resources, error data, log data, and members that nobody has heard of yet.
//
// The protocol's own containers are walked through; every other object or array
// is a root of paths, every string may hold JSON, and a blob is what its media
// type says.
func surfaceOf(doc toolcall.JSON) redact.Surface {
	var s survey
	if doc.Type() == toolcall.ObjectType || doc.Type() == toolcall.ArrayType {
		s.container(doc, nil, false)
	} else {
		s.where.Roots = append(s.where.Roots, doc)
	}
	return s.where
}

// survey is one walk over a message: where words stand, and, in a result, whether
// a member could be read as another than it is, and the parts that are read later.
type survey struct {
	where  redact.Surface
	parts  resultParts
	folded string // the protocol name that a member differs from only by case
}

// containers are members of the protocol's own making. What stands in them is
// looked at part by part: a path is not rooted here.
var containers = map[string]bool{
	"content": true, "contents": true, "messages": true, "resource": true,
	"tools": true, "prompts": true, "resources": true, "resourceTemplates": true,
	"capabilities": true, "serverInfo": true, "params": true, "requestedSchema": true,
	"annotations": true, "icons": true, "modelPreferences": true,
}

// names are strings that are no text: nobody reads JSON in them. Values that
// were removed elsewhere are found in them all the same.
var names = map[string]bool{"uri": true, "uriTemplate": true, "name": true, "type": true, "role": true}

// ordinary are the members that the protocol's containers have. An object with
// any other one that is no container is data too, as a whole.
var ordinary = func() map[string]bool {
	all := map[string]bool{"role": true, "uriTemplate": true, "size": true, "level": true, "logger": true, "progress": true,
		"progressToken": true, "total": true, "message": true, "mode": true, "requestId": true, "reason": true, "code": true,
		"systemPrompt": true, "includeContext": true, "temperature": true, "maxTokens": true, "stopSequences": true,
		"model": true, "stopReason": true, "url": true, "elicitationId": true}
	for _, list := range [...][]string{resultNames, blockNames} {
		for _, name := range list {
			all[name] = true
		}
	}
	return all
}()

// container walks an object or array of the protocol's making. protocol are the
// names that no member may fold to: of a result, of a content block, or, where
// nobody reads by name, none.
func (s *survey) container(v toolcall.JSON, protocol []string, result bool) {
	for e := v.Elements(); e.Next(); {
		s.part("", e.Value(), protocol)
	}
	if v.Type() != toolcall.ObjectType {
		return
	}
	var mime, blob, data toolcall.JSON
	odd, schema := false, false
	for m := v.Members(); m.Next(); {
		name, value := m.Name(), m.Value()
		if p := foldsTo(protocol, name); p != "" {
			s.folded = p
		}
		if result {
			s.parts.note(name, value)
		}
		switch text := value.Type() == toolcall.StringType; {
		case text && name == "mimeType":
			mime = value
		case text && name == "blob":
			blob = value
		case text && name == "data":
			data = value
		default:
			schema = schema || name == "inputSchema"
			odd = odd || !ordinary[name] && value.Type() != toolcall.ObjectType && value.Type() != toolcall.ArrayType
			s.part(name, value, within(protocol, name, result))
		}
	}
	if odd && !schema { // a path must not reach into the schema of a tool
		s.where.Roots = append(s.where.Roots, v)
	}
	media, typed := mime.Str()
	if !blob.IsZero() {
		s.where.Blobs = append(s.where.Blobs, redact.Blob{Data: blob, MIME: media})
	}
	switch {
	case data.IsZero():
	case typed:
		s.where.Blobs = append(s.where.Blobs, redact.Blob{Data: data, MIME: media})
	default:
		s.where.Texts = append(s.where.Texts, data)
	}
}

// within are the names that matter one level down: content blocks stand in a
// result's content, and in each other.
func within(protocol []string, name string, result bool) []string {
	switch {
	case result && (name == "content" || name == "contents" || name == "messages"),
		!result && protocol != nil && (name == "resource" || name == "content"):
		return blockNames
	}
	return nil
}

func (s *survey) part(name string, v toolcall.JSON, protocol []string) {
	switch v.Type() {
	case toolcall.StringType:
		if !names[name] {
			s.where.Texts = append(s.where.Texts, v)
		}
	case toolcall.ObjectType, toolcall.ArrayType:
		switch {
		case name == "" || containers[name]:
			s.container(v, protocol, false)
		case name == "inputRequests": // its members are messages under names of their own
			for m := v.Members(); m.Next(); {
				s.container(m.Value(), nil, false)
			}
		case name == "inputSchema" || name == "outputSchema":
			s.schema("", v)
		default:
			s.where.Roots = append(s.where.Roots, v)
			if name == "completion" {
				s.container(v.Member("values"), nil, false)
			}
		}
	}
}

// schema walks a JSON Schema. Its own words must stay what they are, or nobody can
// read it any more; what stands in it as a value of the data is data.
func (s *survey) schema(name string, v toolcall.JSON) {
	switch name {
	case "default", "const", "enum", "examples":
		if t := v.Type(); t == toolcall.ObjectType || t == toolcall.ArrayType {
			s.where.Roots = append(s.where.Roots, v)
			return
		}
	}
	if v.Type() == toolcall.StringType {
		s.where.Texts = append(s.where.Texts, v)
	}
	for m := v.Members(); m.Next(); {
		s.schema(m.Name(), m.Value())
	}
	for e := v.Elements(); e.Next(); {
		s.schema("", e.Value())
	}
}

// surfaceOfArgs is where in the arguments of a call is looked before they are
// kept. What a server asks, and what a method that nobody has heard of carries,
// is a message: its texts may hold JSON.
func surfaceOfArgs(call *toolcall.Call) redact.Surface {
	var s redact.Surface
	if call.Kind == toolcall.Request || call.Kind == toolcall.Method {
		s = surfaceOf(call.Args)
	}
	s.Roots = append(s.Roots, call.Args)
	return s
}

// surfaceOfAnswer is the same for what a client answers a server: the fields
// that a person filled in stand in content, under their own names.
func surfaceOfAnswer(body toolcall.JSON) redact.Surface {
	s := surfaceOf(body)
	s.Roots = append(s.Roots, body)
	if content := body.Member("content"); content.Type() == toolcall.ObjectType {
		s.Roots = append(s.Roots, content)
	}
	return s
}
