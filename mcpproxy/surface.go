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
	"capabilities": true, "serverInfo": true, "inputRequests": true, "params": true, "requestedSchema": true,
	"annotations": true, "icons": true, "completion": true, "modelPreferences": true,
}

func collect(s *redact.Surface, v toolcall.JSON) {
	for e := v.Elements(); e.Next(); {
		part(s, "", e.Value(), toolcall.JSON{})
	}
	if v.Type() != toolcall.ObjectType {
		return
	}
	mime := v.Member("mimeType")
	for m := v.Members(); m.Next(); {
		part(s, m.Name(), m.Value(), mime)
	}
}

func part(s *redact.Surface, name string, v, mime toolcall.JSON) {
	switch v.Type() {
	case toolcall.StringType:
		media, typed := mime.Str()
		if name == "blob" || name == "data" && typed {
			s.Blobs = append(s.Blobs, redact.Blob{Data: v, MIME: media})
			return
		}
		s.Texts = append(s.Texts, v)
	case toolcall.ObjectType, toolcall.ArrayType:
		if name == "" || containers[name] {
			collect(s, v)
			return
		}
		s.Roots = append(s.Roots, v)
	}
}
