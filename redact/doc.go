// Package redact takes values out of JSON texts, and makes the only texts that
// logs, records and people may see.
//
// It knows no protocol. The caller says which sub-values of a document are data
// that paths are rooted in, which are texts that may hold JSON, and which are
// encoded blobs (see [Surface]). From there one redaction goes:
//
//	            read                     search                  write
//	document ──────────> items ────────────────────────> edits ────────> document
//	   │   one walk, all paths    removed values of 8 or      one copy with
//	   │   at once; each text     more characters, wherever   masks in it
//	   └─> that is JSON is a      else they stand, at every
//	       layer of its own       depth of encoding
//
// A text that decodes to exactly the bytes of a root is not read again: what is
// masked in the root is masked in it (see twin).
//
// What cannot be done safely is not done at all: the error is a [*Withheld] and
// there is no document. What no path and no removed value touches keeps its
// bytes, the spelling of escapes inside JSON texts included.
//
// Beside that stands the [Detector], which finds secrets by what they look like
// and changes nothing.
//
// What it does not do, so that nobody relies on it:
//   - A removed number or boolean is not searched for elsewhere; a removed
//     string is, and is found in number tokens and member names too.
//   - A removed string is found as it is spelled, and behind up to four levels of
//     JSON escapes. Other cases, other encodings, halves of it are not found.
//   - Member names inside a masked object stay, unless they contain a removed
//     string.
//   - Blobs of other than textual media types pass as they are.
//   - Paths reach JSON inside the texts that the caller names, not JSON inside
//     the strings of data; removed values are found in those as well.
package redact
