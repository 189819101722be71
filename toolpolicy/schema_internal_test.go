package toolpolicy

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"mcpguard/redact"
)

// Where the compiler takes one of a list of words, the schema has the same list.
func TestSchemaHasTheSameWords(t *testing.T) {
	var statements []string
	for _, s := range sqlStatements {
		statements = append(statements, s.name)
	}
	compact := regexp.MustCompile(`\s+`).ReplaceAllString(Schema(), "")
	for name, words := range map[string][]string{
		"detect": redact.DetectorNames(), "the shell's constructs": shellUses[:], "dialects": sqlDialects[:], "statements": statements,
	} {
		list, err := json.Marshal(words)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(compact, `"enum":`+string(list)) {
			t.Errorf("%s: the schema does not list %s", name, list)
		}
	}
}
