package redact

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// textual reports whether the media type is one of text.
func (b Blob) textual() bool {
	mime := strings.ToLower(b.MIME)
	if strings.HasPrefix(mime, "text/") {
		return true
	}
	for _, syntax := range [...]string{"json", "xml", "yaml", "csv", "javascript", "urlencoded"} {
		if strings.Contains(mime, syntax) {
			return true
		}
	}
	return false
}

// alphabets are the forms of base64 (RFC 4648) that readers accept.
var alphabets = [...]*base64.Encoding{
	base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding,
}

// readBlob reads a blob of the surface as a text. typed says that its media type
// is known to be textual: then bytes that are no UTF-8 hide what nobody can
// redact. Without that they are binary, and pass.
func (u *run) readBlob(data string, typed bool, depth int) text {
	for _, alphabet := range alphabets {
		bytes, err := alphabet.DecodeString(data)
		if err != nil {
			continue // the next alphabet; after the last one it is refused
		}
		if !utf8.Valid(bytes) {
			if typed {
				u.refuse(nobody, "a blob of a textual media type is no UTF-8")
			}
			return text{}
		}
		t := u.readText(string(bytes), onBlob, depth)
		t.blob = alphabet
		return t
	}
	u.refuse(nobody, "a blob that may hold text is no base64")
	return text{}
}
