package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"

	"mcpguard/toolcall"
)

// Secret holds text that must not be printed: a token, a password, a header
// that carries one. fmt, slog, encoding/json and YAML see "[secret]", also
// where a Secret is an unexported field, which fmt reads behind the back of
// its methods. The zero Secret holds nothing.
type Secret struct {
	// A function, because reflection prints its address and cannot follow it.
	reveal func() string
}

// hidden stands for every secret, whatever its length.
const hidden = "[secret]"

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{func() string { return text }} }

// Reveal is the one door to the text.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether there is no text.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Digest is the plain SHA-256 of the text. It is fit to be stored for tokens
// of NewToken only: of a short text it is a dictionary away from the text.
func (s Secret) Digest() toolcall.Digest { return sha256.Sum256([]byte(s.Reveal())) }

func (s Secret) String() string { return hidden }

// Format prints the same for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// LogValue keeps the text out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText keeps the text out of JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// TokenPrefix starts every token that mcpguard makes, so that scanners of
// repositories and logs can find a leaked one.
const TokenPrefix = "mcpg_"

// NewToken makes a bearer token of 256 random bits.
func NewToken() Secret {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return NewSecret(TokenPrefix + base64.RawURLEncoding.EncodeToString(b[:]))
}
