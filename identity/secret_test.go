package identity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// Law 5: whatever prints a Secret, or a value that holds one, shows no secret.
func TestSecretsDoNotPrint(t *testing.T) {
	const text = "mcpg_hunter2hunter2hunter2"
	secret := NewSecret(text)
	type inside struct {
		Public  Secret
		private Secret
		pointer *Secret
		list    []Secret
	}
	holder := inside{secret, secret, &secret, []Secret{secret}}
	var printed bytes.Buffer
	for _, v := range []any{secret, &secret, holder, &holder, []Secret{secret}, map[string]Secret{"a": secret}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&printed, verb+"\n", v)
		}
		for _, handler := range []slog.Handler{slog.NewTextHandler(&printed, nil), slog.NewJSONHandler(&printed, nil)} {
			slog.New(handler).Info("a secret", "value", v)
		}
		marshalled, err := json.Marshal(v)
		if err != nil {
			t.Errorf("marshal %T: %v", v, err)
		}
		printed.Write(marshalled)
		dumped, err := yaml.Dump(v)
		if err != nil {
			t.Errorf("dump %T: %v", v, err)
		}
		printed.Write(dumped)
	}
	for _, leak := range []string{text, "hunter2", fmt.Sprintf("%x", text), fmt.Sprintf("%d", []byte(text))} {
		if strings.Contains(printed.String(), leak) {
			t.Errorf("printed %q", leak)
		}
	}
	if !strings.Contains(printed.String(), "[secret]") {
		t.Error("nothing says that there is a secret")
	}
	if secret.Reveal() != text || secret.IsZero() {
		t.Error("the one door is shut")
	}
	if zero := (Secret{}); zero.Reveal() != "" || !zero.IsZero() || zero.String() != "[secret]" {
		t.Error("the zero Secret holds something")
	}
}

// An error of a refused token reaches logs: it must not quote the token.
func TestFailuresDoNotQuoteTheToken(t *testing.T) {
	for _, header := range []string{"Bearer hunter2", "Basic hunter2", "hunter2", "Bearer hunter2 hunter2", "Bearer " + expiredToken} {
		_, err := laptop(t, false).Authenticate(request(here, header))
		if err == nil {
			t.Fatalf("%q is accepted", header)
		}
		if s := err.Error(); strings.Contains(s, "hunter2") || strings.Contains(s, expiredToken) || !strings.HasPrefix(s, "authenticate: ") {
			t.Errorf("%q is refused with %q", header, s)
		}
	}
}

func TestNewTokensAreBearerTokens(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		token := NewToken().Reveal()
		if seen[token] || len(token) != len(TokenPrefix)+43 || !strings.HasPrefix(token, TokenPrefix) {
			t.Fatalf("%q is no new token", token)
		}
		if got, err := parseBearer("Bearer " + token); err != nil || got != token {
			t.Fatalf("%q is not accepted as a bearer token: %v", token, err)
		}
		seen[token] = true
	}
}
