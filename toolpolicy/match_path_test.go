package toolpolicy_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	"mcpguard/toolcall"
)

// readers are what consumers do to a path before they open it.
var readers = map[string]func(string) string{
	"as it is":      func(s string) string { return s },
	"cleaned":       filepath.Clean,
	"decoded":       decoded,
	"decoded twice": func(s string) string { return decoded(decoded(s)) },
	"trimmed":       strings.TrimSpace,
	"cut at NUL":    func(s string) string { before, _, _ := strings.Cut(s, "\x00"); return before },
	"backslashes":   func(s string) string { return strings.ReplaceAll(s, `\`, "/") },
	"NFC":           norm.NFC.String,
	"NFKC":          norm.NFKC.String,
	"NFKC, cleaned": func(s string) string { return filepath.Clean(norm.NFKC.String(s)) },
	"dots dropped":  func(s string) string { return dropAtEnds(s, ". ") },
	"invisible characters dropped": strings.NewReplacer(
		"\u200b", "", "\u00ad", "", "\ufeff", "", "\u2060", "").Replace,
}

func decoded(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}

// dropAtEnds is what Windows and SMB do to each segment but the dot segments.
func dropAtEnds(s, cutset string) string {
	segments := strings.Split(s, "/")
	for i, segment := range segments {
		if segment != "." && segment != ".." {
			segments[i] = strings.TrimRight(segment, cutset)
		}
	}
	return strings.Join(segments, "/")
}

// tree is a real directory with files inside, kept out, and outside of a root.
type tree struct {
	root               string
	allowed, forbidden []fs.FileInfo
}

func newTree(t *testing.T) *tree {
	t.Helper()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tr := &tree{root: base + "/root"}
	write := func(name string) fs.FileInfo {
		name = filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	for _, name := range []string{"root/a.txt", "root/sub/b.txt", "root/sub/deep/c.txt", "root/größe", "root/with space/d", "root/.environment"} {
		tr.allowed = append(tr.allowed, write(name))
	}
	for _, name := range []string{"root/.env", "root/sub/.env", "root/keys/k.pem", "root/keys/sub/x", "root/sub/k.pem", "secret", "rooted/secret", "root.env/x", "sub/b.txt", "etc/passwd"} {
		tr.forbidden = append(tr.forbidden, write(name))
	}
	return tr
}

// spelling is a path made of pieces that parsers trip over.
func (tr *tree) spelling(r *rand.Rand) string {
	pieces := []string{
		"a.txt", "sub", "b.txt", "deep", "c.txt", "größe", "gro\u0308ße", "with space", "d", ".env", ".ENV", "keys", "k.pem", "secret", "rooted",
		"..", ".", "", "...", ". ", "..\u200b", "\u2025", "\uff0e\uff0e", "\uff0e", "%2e%2e", "%252e%252e", "%2E", `..\..`, `\`, "..;", "~", "sub ", "sub.",
		".env ", ".env.", ".env\u00a0", ".env\u1680", ".env\x00", ".env\n", ".en\u00adv", ".en\u200bv", "%2eenv", ".env%00", ".env\ufe0f",
		"\uff4beys", "keys%2fk.pem", `keys\k.pem`, "C:", "-x", "root", "etc", "passwd",
	}
	starts := []string{tr.root, tr.root, tr.root, tr.root, "", "/", "file://" + tr.root, filepath.Dir(tr.root), "./", " " + tr.root, tr.root + "/..", "/" + tr.root}
	s := starts[r.IntN(len(starts))]
	for range r.IntN(5) {
		if s != "" || r.IntN(3) == 0 {
			s += "/"
		}
		s += pieces[r.IntN(len(pieces))]
	}
	if r.IntN(8) == 0 {
		s += []string{"/", "//", "/.", " ", "\x00", "%00", "\n"}[r.IntN(7)]
	}
	return s
}

// Whatever under and not_glob accept, a real file system opens inside the root
// and off what is kept out, even where its reader decodes, trims or normalises
// the path first. The comparison is of files, not of names.
func TestAcceptedPathsStayInside(t *testing.T) {
	tr := newTree(t)
	root, err := os.OpenRoot(tr.root)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	}()
	judge := judgeOf(t, fmt.Sprintf(`{under: {root: %q, relative_to: %q, file_url: true}, not_glob: ["**/.env", keys, "**/*.pem"]}`, tr.root, tr.root))
	r := rand.New(rand.NewPCG(1, 2))
	accepted, opened := 0, 0
	for range 40_000 {
		s := tr.spelling(r)
		if judge(toolcall.Quote(s)) != "true" {
			continue
		}
		accepted++
		for name, read := range readers {
			path := read(s)
			if rest, is := strings.CutPrefix(s, "file://"); is {
				path = read(decoded(rest))
			}
			if !filepath.IsAbs(path) {
				path = tr.root + "/" + path
			}
			info, err := os.Stat(path)
			if err != nil {
				continue // there is no such file
			}
			opened++
			if tr.reaches(info) {
				t.Fatalf("%q is accepted, and %s it opens what is not allowed: %q", s, name, path)
			}
			if inside, err := filepath.Rel(tr.root, path); err != nil {
				t.Fatal(err)
			} else if f, err := root.Open(inside); err != nil {
				t.Fatalf("%q is accepted, and %s it is not inside: %v", s, name, err)
			} else if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if accepted < 1000 || opened < 1000 {
		t.Errorf("%d spellings accepted, %d opened: the test tests too little", accepted, opened)
	}
	t.Logf("%d spellings accepted, %d files opened", accepted, opened)
}

func (tr *tree) reaches(info fs.FileInfo) bool {
	for _, f := range tr.forbidden {
		if os.SameFile(f, info) {
			return true
		}
	}
	return false
}

// The plain spellings of what is allowed are accepted: the test above is not
// kept by refusing everything.
func TestPlainPathsAreAccepted(t *testing.T) {
	tr := newTree(t)
	judge := judgeOf(t, fmt.Sprintf(`{under: {root: %q, relative_to: %q, file_url: true}, not_glob: ["**/.env", keys, "**/*.pem"]}`, tr.root, tr.root))
	for _, name := range []string{"a.txt", "sub/b.txt", "sub/deep/c.txt", "größe", "with space/d", ".environment"} {
		for _, s := range []string{name, tr.root + "/" + name, (&url.URL{Scheme: "file", Path: tr.root + "/" + name}).String()} {
			if got := judge(toolcall.Quote(s)); got != "true" {
				t.Errorf("%q is %s", s, got)
			}
		}
	}
}
