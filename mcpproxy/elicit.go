package mcpproxy

import (
	"context"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"mcpguard/audit"
	"mcpguard/toolcall"
)

// badElicitation says what is wrong with an elicitation, whatever the rules say;
// "" is nothing. A URL to which a person is sent must have one reading only, so
// that a rule about its text is one about the place: only https, or http on
// this machine, without userinfo. mcpguard never fetches it.
func badElicitation(params toolcall.JSON) string {
	mode, link := params.Member("mode"), params.Member("url")
	kind, ok := mode.Str()
	switch {
	case !mode.IsZero() && !ok, ok && kind != "form" && kind != "url":
		return "the mode of an elicitation is form or url"
	case kind != "url" && link.IsZero():
		return ""
	case kind != "url":
		return "only an elicitation in url mode has a url"
	}
	text, _ := link.Str()
	if !plainLink(text) {
		return "the url of an elicitation must be https, or http on a loopback address, in its plain form"
	}
	return ""
}

// plainLink reports whether a browser and a rule of policy read the same place
// out of a URL: lower-case scheme and host, no userinfo, no character that
// browsers drop or turn into another (WHATWG URL, "special" schemes).
func plainLink(text string) bool {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\\\"<>^`{|}", c) >= 0 {
			return false
		}
	}
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Opaque != "" || u.Host == "" || u.Host != strings.ToLower(u.Host) ||
		strings.ContainsAny(u.Host, "%@") || strings.HasSuffix(u.Hostname(), ".") || !strings.HasPrefix(text, u.Scheme+"://"+u.Host) {
		return false
	}
	for s := range strings.SplitSeq(strings.ToLower(u.EscapedPath()), "/") {
		s = strings.ReplaceAll(s, "%2e", ".")
		if s == "." || s == ".." {
			return false
		}
	}
	if !plainPort(u) || u.Path == "" && text != u.Scheme+"://"+u.Host {
		return false
	}
	address, err := netip.ParseAddr(u.Hostname())
	switch {
	case err != nil && endsInNumber(u.Hostname()):
		return false // 127.1 and 0x7f000001 are addresses to browsers
	case err == nil && (address.String() != u.Hostname() || address.Is4In6()):
		return false // an address has more spellings than one, and a browser writes it in its own
	case u.Scheme == "https":
		return true
	}
	return u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && address.IsLoopback())
}

// plainPort reports whether a browser keeps the port of a URL as it is written: it
// drops that of the scheme, and zeros in front (WHATWG URL, "port state").
func plainPort(u *url.URL) bool {
	if u.Host == u.Hostname() || u.Host == "["+u.Hostname()+"]" {
		return true
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && strconv.FormatUint(port, 10) == u.Port() && u.Port() != map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// endsInNumber is the WHATWG URL standard's "ends in a number" of a host.
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last == "" || '0' <= last[0] && last[0] <= '9'
}

// codeURLElicitation is the error by which a server of 2025-11-25 asks a client to
// send a person to URLs before it tries again.
const codeURLElicitation = mcp.URL_ELICITATION_REQUIRED

// linksAsked judges each elicitation of such an error like the request that it
// stands for. In other revisions the protocol has no such error. One that a reader
// without case could take for it is refused.
func (x *exchange) linksAsked(ctx context.Context, failure toolcall.JSON) error {
	err := noFoldedNames(failure, errorNames)
	if err == nil {
		err = noFoldedNames(failure.Member("data"), linkNames)
	}
	if err != nil {
		return x.afterwards("answer", "its error has "+refusalOf(err).Reason, nil)
	}
	if !isCode(failure.Member("code"), codeURLElicitation) {
		return nil
	}
	row := x.p.methods.find(fromServer, request, "elicitation/create", x.revision())
	list := failure.Member("data").Member("elicitations")
	if x.revision() != in20251125 || row.sees != byAsk || list.Type() != toolcall.ArrayType {
		return x.afterwards("answer", "it asks the client for something in a place where the protocol has no such answer", nil)
	}
	for e := list.Elements(); e.Next(); {
		if _, err := x.asked(ctx, row, e.Value(), audit.Event); err != nil {
			return x.notAsked(row, err)
		}
	}
	return nil
}

// notAsked refuses an answer that asks for what the client may not be asked.
func (x *exchange) notAsked(m method, err error) error {
	r := refusalOf(err)
	switch {
	case r.Failed:
		return r
	case r.Stage == "decide":
		return x.afterwards("decide", "the upstream asked the client for "+cut(m.words(), maxEcho)+", which no rule allows", err)
	}
	return x.afterwards("answer", "the upstream asked the client for something that it may not: "+r.Reason, err)
}

// isCode reports whether a number is exactly that code.
func isCode(v toolcall.JSON, code int64) bool {
	n, ok := v.Number()
	want, _ := toolcall.Integer(code).Number()
	return ok && n.Comparable() && n.Compare(want) == 0
}
