package toolcall

import "unsafe"

// hidden is a string that printing cannot reach. fmt, slog and the like see the
// fields of a struct by reflection, without calling methods, wherever a field
// is unexported or a verb does not fit; there a string would be shown. An
// untyped pointer and a length print as an address and a number.
//
// Two of them cannot be compared with ==, which would compare addresses.
type hidden struct {
	_     [0]func()
	start unsafe.Pointer // to the first byte; keeps the whole text alive
	size  int
}

func hide(s string) hidden {
	return hidden{start: unsafe.Pointer(unsafe.StringData(s)), size: len(s)}
}

// reveal is the string again; it costs nothing.
func (h hidden) reveal() string { return unsafe.String((*byte)(h.start), h.size) }
