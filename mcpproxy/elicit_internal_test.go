package mcpproxy

import "testing"

// A rule about the text of a URL is one about the place that a browser opens:
// what has a second reading is refused, whatever the rules say.
func TestLinksHaveOneReading(t *testing.T) {
	for link, want := range map[string]bool{
		"https://idp.example.com/":                    true,
		"https://idp.example.com":                     true,
		"https://idp.example.com:8443/a/b?next=/x#y":  true,
		"https://xn--bcher-kva.example/":              true,
		"http://localhost:8438/approve/1":             true,
		"http://127.0.0.1/":                           true,
		"http://[::1]:8080/":                          true,
		"https://idp.example.com:80/":                 true,
		"https://idp.example.com:443/":                false, // a rule about https://idp.example.com/ says nothing of it
		"http://[::1]:80/":                            false,
		"https://idp.example.com:08443/":              false,
		"https://idp.example.com?next=/x":             false,
		"https://idp.example.com#x":                   false,
		"http://[0:0:0:0:0:0:0:1]/":                   false,
		"https://[2001:DB8::1]/":                      false,
		"https://[2001:db8:0::1]/":                    false,
		"https://[::ffff:127.0.0.1]/":                 false,
		"https://[2001:db8::1]/":                      true,
		"":                                            false,
		"idp.example.com":                             false,
		"http://idp.example.com/":                     false,
		"http://localhost.evil.example/":              false,
		"http://127.0.0.1.evil.example/":              false,
		"https://idp.example.com@evil.example/":       false,
		"https://user:pass@idp.example.com/":          false,
		"https://idp.example.com%40evil.example/":     false,
		"https://idp.example.com\\@evil.example/":     false,
		"https:\\\\evil.example/":                     false,
		"https:/evil.example/":                        false,
		"https:evil.example":                          false,
		"https:///evil.example/":                      false,
		"HTTPS://idp.example.com/":                    false,
		"https://IDP.example.com/":                    false,
		"https://idp.example.com./":                   false,
		"https://idp.example.com/a/../../b":           false,
		"https://idp.example.com/a/%2E%2e/b":          false,
		"https://idp.example.com/\tx":                 false,
		" https://idp.example.com/":                   false,
		"https://idp.example.com/\n":                  false,
		"https://b\u00fccher.example/":                false,
		"https://idp\u3002example.com/":               false,
		"https://127.1/":                              false,
		"https://0x7f000001/":                         false,
		"javascript:alert(1)":                         false,
		"javascript://idp.example.com/%0aalert(1)":    false,
		"data:text/html,x":                            false,
		"file:///etc/passwd":                          false,
		"ftp://idp.example.com/":                      false,
		"blob:https://idp.example.com/":               false,
		"view-source:https://idp.example.com/":        false,
		"https://idp.example.com:/":                   false,
		"https://idp.example.com:99999999999999999/x": false,
	} {
		if plainLink(link) != want {
			t.Errorf("%q: %v, want %v", link, !want, want)
		}
	}
}
