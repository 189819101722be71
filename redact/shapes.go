package redact

import (
	"regexp"
	"strings"
)

// terminal matches the control sequences of ECMA-48 and their 8-bit forms:
// CSI, then the strings (OSC, DCS, PM, APC) with their text, then the rest.
var terminal = regexp.MustCompile(
	"(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]" +
		"|(?:\x1b[\\]PX^_]|[\u0090\u0098\u009d-\u009f])[^\x07\x1b\u009c]*(?:\x07|\x1b\\\\|\u009c)?" +
		"|\x1b[ -/]*[0-~]")

// shape is what a kind of credential looks like, whoever it belongs to.
type shape struct {
	hints   []string // one of them, in lower case, stands in every match
	pattern *regexp.Regexp
	with    string // "$1" keeps the part of the match that is no secret
}

func (s shape) mask(line string) string {
	lower := strings.ToLower(line)
	for _, hint := range s.hints {
		if strings.Contains(lower, hint) {
			return s.pattern.ReplaceAllString(line, s.with)
		}
	}
	return line
}

func shapeOf(with, pattern string, hints ...string) shape {
	return shape{hints, regexp.MustCompile(pattern), with}
}

// shapes is the fixed table of credentials that are masked in lines, the most
// enclosing first.
var shapes = [...]shape{
	// A key in one line, its line ends spelled as escapes or lost.
	shapeOf(maskWord, `-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`, "private key-----"),
	// A line of the inside of such a key (PEM and OpenSSH break at 64 and 70).
	shapeOf(maskWord, `^\s*[A-Za-z0-9+/]{60,76}={0,2}\s*$`, ""),
	shapeOf("${1}"+maskWord, `(?i)(authorization["']?\s*[:=]\s*["']?)(?:[a-z]+\s+)?[^\s"',;]+`, "authorization"),
	shapeOf("${1}"+maskWord, `(?i)\b((?:bearer|basic)\s+)[a-z0-9._~+/=-]{16,}`, "bearer", "basic"),
	shapeOf("${1}"+maskWord+"@", `(?i)\b([a-z][a-z0-9+.-]*://[^\s:/@?#]*:)[^\s/?#"']+@`, "://"),
	shapeOf("${1}"+maskWord, `(?i)((?:password|passwd|pwd|secret|api[_-]?key|access[_-]?key|token)["']?\s*[:=]\s*["']?)[^\s"',;&]{6,}`,
		"password", "passwd", "pwd", "secret", "key", "token"),
	// Three parts in base64url of which the first opens a JSON object (RFC 7519).
	shapeOf(maskWord, `\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`, "eyj"),
	shapeOf(maskWord, `\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b`, "akia", "asia", "abia", "acca"), // AWS
	shapeOf(maskWord, `\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,})`, "gh", "github_pat_"),
	shapeOf(maskWord, `\bgl[a-z]{2,8}-[A-Za-z0-9_.-]{20,}`, "gl"),                                                                   // GitLab
	shapeOf(maskWord, `\b(?:xox[a-z]|xapp)-[A-Za-z0-9-]{10,}`, "xox", "xapp"),                                                       // Slack
	shapeOf("${1}"+maskWord, `(hooks\.slack\.com/services/)[A-Za-z0-9/]+`, "hooks.slack.com"),                                       // Slack
	shapeOf(maskWord, `\b(?:(?:sk|rk)_(?:live|test)|whsec)_[A-Za-z0-9]{16,}`, "_live_", "_test_", "whsec_"),                         // Stripe
	shapeOf(maskWord, `\bsk-[A-Za-z0-9_-]{20,}`, "sk-"),                                                                             // OpenAI, Anthropic
	shapeOf(maskWord, `\b(?:AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,})`, "aiza", "ya29.", "gocspx-"), // Google
}
