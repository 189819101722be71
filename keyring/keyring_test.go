package keyring

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

func TestAMACDependsOnPurposeKeyAndEveryPart(t *testing.T) {
	r, other := NewEphemeral(), NewEphemeral()
	base := r.MAC("args", []byte("ab"), []byte("c"))
	if base.IsZero() || base != r.MAC("args", []byte("ab"), []byte("c")) {
		t.Fatalf("the same parts do not make the same digest")
	}
	for name, got := range map[string]any{
		"another purpose":          r.MAC("result", []byte("ab"), []byte("c")),
		"another key":              other.MAC("args", []byte("ab"), []byte("c")),
		"the parts cut elsewhere":  r.MAC("args", []byte("a"), []byte("bc")),
		"the parts joined":         r.MAC("args", []byte("abc")),
		"an empty part more":       r.MAC("args", []byte("ab"), []byte("c"), nil),
		"no part":                  r.MAC("args"),
		"one empty part":           r.MAC("args", nil),
		"an empty part in between": r.MAC("args", []byte("ab"), nil, []byte("c")),
	} {
		if got == any(base) {
			t.Errorf("%s: the same digest", name)
		}
	}
}

// The construction is part of what is stored for years: it is spelled out once
// more here, against the standard library.
func TestAMACIsHMACUnderADerivedKey(t *testing.T) {
	r := NewEphemeral()
	derived, err := hkdf.Key(sha256.New, r.mac[0].secret[:], nil, "mcpguard mac args", 32)
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(sha256.New, derived)
	h.Write([]byte{0, 0, 0, 0, 0, 0, 0, 2, 'a', 'b', 0, 0, 0, 0, 0, 0, 0, 0})
	if got := r.MAC("args", []byte("ab"), nil); !bytes.Equal(got[:], h.Sum(nil)) {
		t.Errorf("got %s, want %x", got, h.Sum(nil))
	}
}

func TestMACDoesNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("SKIP: the race detector changes what is allocated")
	}
	r, part := NewEphemeral(), make([]byte, 1024)
	r.MAC("args", part)
	if n := testing.AllocsPerRun(1000, func() { r.MAC("args", part) }); n > 1 { // the slice of parts
		t.Errorf("%v allocations", n)
	}
}

func TestMACIsSafeForConcurrentUse(t *testing.T) {
	r := NewEphemeral()
	want := map[string]any{}
	for _, purpose := range []string{"a", "b", "c"} {
		want[purpose] = r.MAC(purpose, []byte(purpose))
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 500 {
				for purpose, d := range want {
					if r.MAC(purpose, []byte(purpose)) != d {
						t.Errorf("another digest under load")
						return
					}
				}
			}
		})
	}
	group.Wait()
}

func TestOnlyTheSamePurposeAndDataOpenWhatWasSealed(t *testing.T) {
	r := NewEphemeral()
	sealed := r.Seal("session", []byte("sam"), []byte("handle 7"))
	if got, err := r.Open("session", []byte("sam"), sealed); err != nil || string(got) != "handle 7" {
		t.Fatalf("Open: %q, %v", got, err)
	}
	if strings.Contains(sealed, "=") || strings.Contains(sealed, "handle") {
		t.Errorf("sealed is %q, want unpadded base64url of a ciphertext", sealed)
	}
	if sealed == r.Seal("session", []byte("sam"), []byte("handle 7")) {
		t.Error("the same text was sealed twice with one nonce")
	}
	flip := func(at int) string {
		b, err := base64.RawURLEncoding.DecodeString(sealed)
		if err != nil {
			t.Fatal(err)
		}
		b[at] ^= 1
		return base64.RawURLEncoding.EncodeToString(b)
	}
	for name, c := range map[string]struct {
		ring         *Ring
		purpose, aad string
		sealed       string
	}{
		"another purpose":     {r, "cursor", "sam", sealed},
		"another caller":      {r, "session", "fran", sealed},
		"no associated data":  {r, "session", "", sealed},
		"another ring":        {NewEphemeral(), "session", "sam", sealed},
		"the zero ring":       {&Ring{}, "session", "sam", sealed},
		"another version":     {r, "session", "sam", flip(0)},
		"another key id":      {r, "session", "sam", flip(1)},
		"another nonce":       {r, "session", "sam", flip(6)},
		"another ciphertext":  {r, "session", "sam", flip(20)},
		"cut short":           {r, "session", "sam", sealed[:len(sealed)-4]},
		"nothing":             {r, "session", "sam", ""},
		"a head alone":        {r, "session", "sam", sealed[:8]},
		"no base64":           {r, "session", "sam", "%%"},
		"padding":             {r, "session", "sam", sealed + "="},
		"something behind it": {r, "session", "sam", sealed + "AAAA"},
		"a line break within": {r, "session", "sam", sealed[:8] + "\n" + sealed[8:]},
	} {
		got, err := c.ring.Open(c.purpose, []byte(c.aad), c.sealed)
		if !errors.Is(err, ErrSealed) || got != nil {
			t.Errorf("%s: %q, %v; want ErrSealed", name, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "handle 7") {
			t.Errorf("%s: the error tells the text", name)
		}
	}
}

func FuzzOpen(f *testing.F) {
	r := NewEphemeral()
	sealed := r.Seal("session", nil, []byte("handle"))
	f.Add(sealed)
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := r.Open("session", nil, s); err == nil && (s != sealed || string(got) != "handle") {
			t.Errorf("%q opened as %q", s, got)
		}
	})
}

func TestASignatureIsCheckedWithThePublicKey(t *testing.T) {
	r := NewEphemeral()
	sig := r.Sign([]byte("checkpoint 7"))
	if !ed25519.Verify(r.PublicKeys()[0], []byte("checkpoint 7"), sig) {
		t.Error("the signature is not valid")
	}
	if ed25519.Verify(r.PublicKeys()[0], []byte("checkpoint 8"), sig) {
		t.Error("it is valid for another message")
	}
	if ed25519.Verify(NewEphemeral().PublicKeys()[0], []byte("checkpoint 7"), sig) {
		t.Error("it is valid under another key")
	}
}

func TestTheZeroRingRefuses(t *testing.T) {
	for name, use := range map[string]func(*Ring){
		"MAC":      func(r *Ring) { r.MAC("p", nil) },
		"Seal":     func(r *Ring) { r.Seal("p", nil, nil) },
		"Sign":     func(r *Ring) { r.Sign(nil) },
		"MACKeyID": func(r *Ring) { r.MACKeyID() },
	} {
		if !panics(func() { use(&Ring{}) }) {
			t.Errorf("%s of a ring without keys answered", name)
		}
	}
	if keys := (&Ring{}).PublicKeys(); len(keys) > 0 {
		t.Errorf("a ring without keys has %d that check signatures", len(keys))
	}
	r := NewEphemeral()
	if !panics(func() { r.MAC("", nil) }) || !panics(func() { r.Seal("", nil, nil) }) {
		t.Error("a key was used without a purpose")
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

func TestARingDoesNotPrint(t *testing.T) {
	r := NewEphemeral()
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("start", "keys", r)
	printed := fmt.Sprint(r) + fmt.Sprintf("%v %+v %#v %s %x %d", r, r, r, r, r, r) + log.String()
	for _, k := range []key{r.mac[0], r.seal[0], r.sign[0]} {
		for _, form := range []string{hex.EncodeToString(k.secret[:]), string(k.secret[:]), fmt.Sprint(k.secret)} {
			if strings.Contains(printed, form) {
				t.Errorf("a key was printed: %s", printed)
			}
		}
	}
	if b, err := json.Marshal(r); err == nil {
		t.Errorf("it was marshalled: %s", b)
	}
}

func BenchmarkMAC(b *testing.B) {
	r := NewEphemeral()
	for _, size := range []int{64, 1 << 10, 32 << 10} {
		part := make([]byte, size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				r.MAC("args", part)
			}
		})
		b.Run(fmt.Sprint(size, "/plain SHA-256"), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				sha256.Sum256(part)
			}
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	r, aad, text := NewEphemeral(), []byte("sam"), make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		r.Seal("session", aad, text)
	}
}
