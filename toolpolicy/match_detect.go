package toolpolicy

import (
	"strings"

	"go.yaml.in/yaml/v4"

	"mcpguard/redact"
	"mcpguard/toolcall"
)

// detect: somewhere in the value, member names included, stands a secret of one
// of the classes. It is true or false of every value, and never unknown.
type detect struct {
	detector *redact.Detector
	text     string
}

func (m *detect) judge(v toolcall.JSON) outcome { return outcomeOf(m.detector.Holds(v)) }

func (m *detect) words() words {
	want := "detect [" + m.text + "]"
	return words{want, "nothing found", "holds none of [" + m.text + "]"}
}

func (c *compiler) compileDetect(n *yaml.Node) matcher {
	names := c.texts(n, "detect")
	known := true
	for _, e := range n.Content {
		if n.Kind != yaml.SequenceNode || e.Value == "" {
			continue
		}
		if _, err := redact.NewDetector(e.Value); err != nil {
			c.fail(e, nearest(e.Value, redact.DetectorNames()), "%v", err)
			known = false
		}
	}
	if len(names) == 0 || !known {
		return nil
	}
	d, err := redact.NewDetector(names...)
	if err != nil {
		c.fail(n, "", "%v", err)
		return nil
	}
	return &detect{d, strings.Join(names, ", ")}
}
