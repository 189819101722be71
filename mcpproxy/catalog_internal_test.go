package mcpproxy

import (
	"strconv"
	"strings"
	"testing"

	"mcpguard/toolcall"
)

// A hostile upstream that lists something else each time makes mcpguard keep no more
// of its catalogues than one message of it may have; one of a usual size is shared.
func TestSharedCataloguesAreBounded(t *testing.T) {
	const most = 1 << 20
	u := &upstream{catalogues: map[string]*catalogue{}, limits: toolcall.Limits{Bytes: most}}
	of := func(size int) *catalogue {
		text := `{"tools":[],"x":"` + strings.Repeat("x", size) + `"}`
		result, err := toolcall.Parse(text, toolcall.Limits{Bytes: len(text), Depth: 8})
		if err != nil {
			t.Fatal(err)
		}
		return newCatalogue("crm", []page{{result: result}})
	}
	for i := range maxShelves {
		u.shareLocked(strconv.Itoa(i), of(most/3))
		bytes := 0
		for _, c := range u.catalogues {
			bytes += c.pages[0].result.Len()
		}
		if bytes > most {
			t.Fatalf("after %d lists %d bytes are kept", i+1, bytes)
		}
	}
	clear(u.catalogues)
	for i := range 2 * maxShelves {
		u.shareLocked(strconv.Itoa(i), of(100))
		if len(u.catalogues) > maxShelves || u.catalogues[strconv.Itoa(i)] == nil {
			t.Fatalf("after %d small lists %d are kept", i+1, len(u.catalogues))
		}
	}
	if len(u.catalogues) != maxShelves {
		t.Errorf("%d small ones are kept, want %d", len(u.catalogues), maxShelves)
	}
}
