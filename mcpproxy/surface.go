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
	var s redact.Surface
	if doc.Type() == toolcall.ObjectType || doc.Type() == toolcall.ArrayType {
		collect(&s, doc)
	} else {
		s.Roots = append(s.Roots, doc)
	}
	return s
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

func collect(s *redact.Surface, v toolcall.JSON) {
	for e := v.Elements(); e.Next(); {
		part(s, "", e.Value())
	}
	if v.Type() != toolcall.ObjectType {
		return
	}
	var mime, blob, data toolcall.JSON
	odd := false
	for m := v.Members(); m.Next(); {
		switch name, value := m.Name(), m.Value(); {
		case value.Type() == toolcall.StringType && name == "mimeType":
			mime = value
		case value.Type() == toolcall.StringType && name == "blob":
			blob = value
		case value.Type() == toolcall.StringType && name == "data":
			data = value
		default:
			odd = odd || !ordinary[name] && value.Type() != toolcall.ObjectType && value.Type() != toolcall.ArrayType
			part(s, name, value)
		}
	}
	if odd {
		s.Roots = append(s.Roots, v)
	}
	media, typed := mime.Str()
	if !blob.IsZero() {
		s.Blobs = append(s.Blobs, redact.Blob{Data: blob, MIME: media})
	}
	switch {
	case data.IsZero():
	case typed:
		s.Blobs = append(s.Blobs, redact.Blob{Data: data, MIME: media})
	default:
		s.Texts = append(s.Texts, data)
	}
}

func part(s *redact.Surface, name string, v toolcall.JSON) {
	switch v.Type() {
	case toolcall.StringType:
		if !names[name] {
			s.Texts = append(s.Texts, v)
		}
	case toolcall.ObjectType, toolcall.ArrayType:
		switch {
		case name == "" || containers[name]:
			collect(s, v)
		case name == "inputRequests": // its members are messages under names of their own
			for m := v.Members(); m.Next(); {
				collect(s, m.Value())
			}
		default:
			s.Roots = append(s.Roots, v)
			if name == "completion" {
				collect(s, v.Member("values"))
			}
		}
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
