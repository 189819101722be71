package redact

import (
	"encoding/base64"
	"strings"
)

// class is one kind of secret.
type class struct {
	name       string
	credential bool   // it opens something: part of [Secrets]
	at         string // bytes, at one of which match is tried
	// match is where the secret stands of which the byte i is one, not before
	// from; end is 0 where there is none.
	match func(s string, i, from int) (start, end int)
}

// classes is the fixed table. Forms are those that the issuers document; none
// is longer than it must be, so that a text which only looks like a secret for a
// while costs little.
var classes = [...]class{
	{"private_key", true, "-", privateKey},
	{"aws_access_key", true, "A", awsAccessKey},
	{"github_token", true, "g", githubToken},
	{"gitlab_token", true, "g", gitlabToken},
	{"slack_token", true, "x", slackToken},
	{"stripe_key", true, "srw", stripeKey},
	{"google_api_key", true, "A", googleAPIKey},
	{"openai_key", true, "s", openAIKey},
	{"anthropic_key", true, "s", anthropicKey},
	{"jwt", true, "e", jwt},
	{"credit_card", false, "23456", creditCard},
	{"iban", false, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", iban},
	{"us_ssn", false, "012345678", usSSN},
	{"email", false, "@", email},
}

// alphabet is a set of ASCII bytes.
type alphabet [4]uint32

func alphabetOf(chars string) (a alphabet) {
	for _, c := range []byte(chars) {
		a[c>>5] |= 1 << (c & 31)
	}
	return a
}

func (a *alphabet) has(c byte) bool { return c < 0x80 && a[c>>5]&(1<<(c&31)) != 0 }

const (
	digits   = "0123456789"
	capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	smalls   = "abcdefghijklmnopqrstuvwxyz"
)

var (
	alnum     = alphabetOf(digits + capitals + smalls)
	capsDigit = alphabetOf(digits + capitals)
	base64url = alphabetOf(digits + capitals + smalls + "-_")
	wordChars = alphabetOf(digits + capitals + smalls + "_")
	slackBody = alphabetOf(digits + capitals + smalls + "-%+/=")
	localPart = alphabetOf(digits + capitals + smalls + ".!#$%&'*+/=?^_`{|}~-") // RFC 5322, atext
	hostChars = alphabetOf(digits + capitals + smalls + ".-")
)

// runEnd is where a run of characters of a set ends that begins at i.
func runEnd(s string, i int, set *alphabet) int {
	for i < len(s) && set.has(s[i]) {
		i++
	}
	return i
}

// after is where s goes on behind a prefix at i.
func after(s string, i int, prefix string) (int, bool) {
	return i + len(prefix), strings.HasPrefix(s[i:], prefix)
}

// begins reports whether no character of the set stands before i.
func begins(s string, i int, set *alphabet) bool { return i == 0 || !set.has(s[i-1]) }

// ends reports whether no character of the set stands at i.
func ends(s string, i int, set *alphabet) bool { return i == len(s) || !set.has(s[i]) }

// prefixed is a token behind one of some prefixes, of at least so many
// characters of a set. A shorter run is read again from the next byte, and is
// short: so a text costs its length.
func prefixed(s string, i int, set *alphabet, least int, prefixes ...string) (start, end int) {
	for _, p := range prefixes {
		if body, ok := after(s, i, p); ok {
			if end := runEnd(s, body, set); end-body >= least {
				return i, end
			}
		}
	}
	return 0, 0
}

// privateKey is a PEM block (RFC 7468) or an OpenPGP one (RFC 9580), to its end
// or, where that was cut off, to the end of the text.
func privateKey(s string, i, _ int) (start, end int) {
	label, ok := after(s, i, "-----BEGIN ")
	if !ok {
		return 0, 0
	}
	head := s[label:min(len(s), label+64)]
	close := strings.Index(head, "-----")
	if close < 0 || !strings.HasSuffix(strings.TrimSuffix(head[:close], " BLOCK"), "PRIVATE KEY") {
		return 0, 0
	}
	if n := strings.Index(s[label:], "-----END "); n >= 0 {
		foot := label + n + len("-----END ")
		if n = strings.Index(s[foot:min(len(s), foot+64)], "-----"); n >= 0 {
			return i, foot + n + len("-----")
		}
	}
	return i, len(s)
}

func awsAccessKey(s string, i, _ int) (start, end int) {
	for _, p := range [...]string{"AKIA", "ASIA", "ABIA", "ACCA"} {
		if body, ok := after(s, i, p); ok && begins(s, i, &alnum) && len(s) >= body+16 {
			for j := body; j < body+16; j++ {
				if !capsDigit.has(s[j]) {
					return 0, 0
				}
			}
			if ends(s, body+16, &alnum) {
				return i, body + 16
			}
		}
	}
	return 0, 0
}

func githubToken(s string, i, _ int) (start, end int) {
	if start, end = prefixed(s, i, &alnum, 36, "ghp_", "gho_", "ghu_", "ghs_", "ghr_"); end > 0 {
		return start, end
	}
	return prefixed(s, i, &wordChars, 40, "github_pat_")
}

func gitlabToken(s string, i, _ int) (start, end int) {
	return prefixed(s, i, &base64url, 20, "glpat-", "gldt-", "glrt-", "glrtr-", "glptt-", "glcbt-", "glsoat-", "glft-",
		"glimt-", "glagent-", "gloas-", "glffct-")
}

// slackToken: those of bots, users, apps and workflows go on with a digit, the
// cookie of a browser session does not.
func slackToken(s string, i, _ int) (start, end int) {
	if start, end = prefixed(s, i, &slackBody, 20, "xoxd-"); end > 0 {
		return start, end
	}
	if !strings.HasPrefix(s[i:], "xox") && !strings.HasPrefix(s[i:], "xapp-") || len(s) < i+6 {
		return 0, 0
	}
	switch {
	case s[i+1] == 'a':
	case strings.IndexByte("abceoprs", s[i+3]) < 0 || s[i+4] != '-':
		return 0, 0
	}
	if d := s[i+5]; d < '0' || d > '9' {
		return 0, 0
	}
	return prefixed(s, i, &base64url, 20, s[i:i+5])
}

func stripeKey(s string, i, _ int) (start, end int) {
	return prefixed(s, i, &alnum, 16, "sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_")
}

func googleAPIKey(s string, i, _ int) (start, end int) {
	return prefixed(s, i, &base64url, 35, "AIza")
}

// openAIKey: keys of projects, service accounts and administrators; and the old
// form, whose middle is the name of the issuer in base64.
func openAIKey(s string, i, _ int) (start, end int) {
	if start, end = prefixed(s, i, &base64url, 20, "sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-"); end > 0 {
		return start, end
	}
	body, ok := after(s, i, "sk-")
	const middle = "T3BlbkFJ"
	if !ok || len(s) < body+40+len(middle) || !strings.HasPrefix(s[body+20:], middle) {
		return 0, 0
	}
	last := body + 40 + len(middle)
	for j := body; j < last; j++ {
		if !alnum.has(s[j]) {
			return 0, 0
		}
	}
	return i, last
}

func anthropicKey(s string, i, _ int) (start, end int) {
	return prefixed(s, i, &base64url, 32, "sk-ant-")
}

// jwt is a signed token in compact form (RFC 7515, section 7.1): three parts, of
// which the first is a header that names an algorithm. The last may be empty.
func jwt(s string, i, _ int) (start, end int) {
	if !strings.HasPrefix(s[i:], "eyJ") || !begins(s, i, &base64url) {
		return 0, 0
	}
	dot := runEnd(s, i, &base64url)
	second := dot + 1
	if second >= len(s) || s[dot] != '.' {
		return 0, 0
	}
	dot = runEnd(s, second, &base64url)
	if dot >= len(s) || s[dot] != '.' || dot == second {
		return 0, 0
	}
	header, err := base64.RawURLEncoding.DecodeString(s[i : second-1])
	if err != nil || !strings.Contains(string(header), `"alg"`) {
		return 0, 0
	}
	return i, runEnd(s, dot+1, &base64url)
}

// email is an address as people write it (RFC 5321, section 4.1.2, without
// quoted local parts and address literals), found by its @.
func email(s string, i, from int) (start, end int) {
	for start = i; start > max(from, i-64) && localPart.has(s[start-1]); {
		start--
	}
	for start < i && s[start] == '.' {
		start++
	}
	if start == i || s[i-1] == '.' {
		return 0, 0
	}
	end = i + 1
	for end < min(len(s), i+254) && hostChars.has(s[end]) && (s[end] != '.' || end > i+1 && s[end-1] != '.') {
		end++
	}
	host := strings.TrimRight(s[i+1:end], ".-")
	last := strings.LastIndexByte(host, '.')
	if last < 1 || len(host)-last < 3 {
		return 0, 0
	}
	top := host[last+1:]
	if c := top[0] | 0x20; c < 'a' || c > 'z' {
		return 0, 0
	}
	return start, i + 1 + len(host)
}
