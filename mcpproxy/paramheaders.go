package mcpproxy

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/toolcall"
)

// paramTwice reports whether an Mcp-Param-* header stands twice, also one that no
// argument is declared for.
func paramTwice(h http.Header) bool {
	for name, values := range h {
		if len(values) > 1 && strings.HasPrefix(name, mcp.HeaderParamPrefix) {
			return true
		}
	}
	return false
}

// numbersMirrored holds the headers that repeat numbers to the very numbers of the
// arguments: they are whole and exactly equal, and the header has one as JSON
// writes it. The check of mcp-go, which comes before, rounds both sides to floating
// point and reads 0x2Ap0.
func (x *exchange) numbersMirrored(tool *mcp.Tool) error {
	for _, b := range mcp.ExtractParamHeaderBindings(tool) {
		value := x.call.Args
		for _, member := range b.Path {
			value = value.Member(member)
		}
		want, ok := value.Number()
		if !ok {
			continue
		}
		text, _ := mcp.DecodeHeaderValue(x.headers.Get(b.HeaderName()))
		got, err := toolcall.ParseNumber(text)
		if err != nil {
			return fmt.Errorf("read the number in %s: %w", b.HeaderName(), err)
		}
		if !want.Integer() || got.Compare(want) != 0 {
			return fmt.Errorf("compare %s: not the number of the arguments", b.HeaderName())
		}
	}
	return nil
}
