package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"mcpguard/store"
)

// settingKey is a key of mcpguard.yaml with a single value, which a flag or a
// variable may set as well.
type settingKey struct {
	key      string // with dots for nesting
	standard string // the default; "" means that absence is told apart
	path     bool   // a relative path is made absolute
	local    bool   // means something only where there is a local user
	assign   func(c *Config, text string) error
}

// variable is the key's name in the environment: MCPGUARD_LIMITS_REQUEST.
func (k *settingKey) variable() string {
	return "MCPGUARD_" + strings.ToUpper(strings.ReplaceAll(k.key, ".", "_"))
}

// flag is the key's name on the command line: the part behind the last dot.
func (k *settingKey) flag() string {
	last := k.key[strings.LastIndexByte(k.key, '.')+1:]
	return "--" + strings.ReplaceAll(last, "_", "-")
}

// settingKeys is the reference, in the order in which config show lists it.
var settingKeys = []settingKey{
	{key: "listen", standard: "127.0.0.1:8437", assign: func(c *Config, s string) error {
		c.Listen = s
		return checkListen(s)
	}},
	{key: "admin.listen", assign: func(c *Config, s string) error {
		c.admin().Listen = s
		return checkListen(s)
	}},
	{key: "policy", path: true, assign: func(c *Config, s string) error {
		c.Policy = s
		return notEmpty(s)
	}},
	{key: "store", standard: "sqlite://mcpguard.db", path: true, assign: func(c *Config, s string) error {
		c.Store = s
		return checkStore(s)
	}},
	{key: "keys", standard: "keys", path: true, assign: func(c *Config, s string) error {
		c.Keys = s
		return notEmpty(s)
	}},
	{key: "tls.cert", path: true, assign: func(c *Config, s string) error {
		c.tls().Cert = s
		return notEmpty(s)
	}},
	{key: "tls.key", path: true, assign: func(c *Config, s string) error {
		c.tls().Key = s
		return notEmpty(s)
	}},
	{key: "behind_tls_proxy", standard: "false", assign: func(c *Config, s string) (err error) {
		c.BehindTLSProxy, err = parseBool(s)
		return err
	}},
	{key: "identity.local.trust_loopback", standard: "false", local: true, assign: func(c *Config, s string) (err error) {
		c.local().TrustLoopback, err = parseBool(s)
		return err
	}},
	{key: "identity.local.token_file", standard: "local.token", path: true, local: true, assign: func(c *Config, s string) error {
		c.local().TokenFile = s
		return notEmpty(s)
	}},
	{key: "record.arguments", standard: keepRedacted, assign: func(c *Config, s string) error {
		c.Record.Arguments = s
		return oneOf(s, keepRedacted, keepDigest, keepNothing)
	}},
	{key: "record.results", standard: keepRedacted, assign: func(c *Config, s string) error {
		c.Record.Results = s
		return oneOf(s, keepRedacted, keepDigest, keepNothing)
	}},
	{key: "record.durability", standard: durabilityStrict, assign: func(c *Config, s string) error {
		c.Record.Durability = s
		return oneOf(s, durabilityStrict, durabilityOverlapped, durabilityRelaxed)
	}},
	{key: "record.max_result", standard: "64KiB", assign: func(c *Config, s string) (err error) {
		c.Record.MaxResult, err = parseSize(s)
		return err
	}},
	{key: "record.retention.age", standard: "90d", assign: func(c *Config, s string) (err error) {
		c.Record.Retention.Age, err = parseDuration(s)
		return err
	}},
	{key: "record.retention.size", standard: "10GiB", assign: func(c *Config, s string) (err error) {
		c.Record.Retention.Size, err = parseSize(s)
		return err
	}},
	limitSetting("request", "1MiB"),
	limitSetting("result", "32MiB"),
	limitSetting("depth", "128"),
	limitSetting("timeout", "60s"),
	limitSetting("idle", "30m"),
	limitSetting("sessions", "256"),
	limitSetting("processes", "16"),
	limitSetting("sessions_total", "10000"),
	limitSetting("processes_total", "128"),
	limitSetting("memory", "256MiB"),
	pinSetting("mode", pinsFirst),
	pinSetting("new", pinQuarantine),
	pinSetting("wording", pinQuarantine),
	pinSetting("schema", pinQuarantine),
	pinSetting("hints", pinQuarantine),
	pinSetting("hidden", pinQuarantine),
	pinSetting("names", pinAlert),
	{key: "pins.lock", path: true, assign: func(c *Config, s string) error {
		c.PinLock = s
		return notEmpty(s)
	}},
}

func limitSetting(name, standard string) settingKey {
	return settingKey{key: "limits." + name, standard: standard, assign: func(c *Config, s string) error {
		return c.Limits.assign(name, s)
	}}
}

// upstreamLimits are the limits that an upstream may have of its own.
var upstreamLimits = []string{"result", "timeout"}

// assign sets the limit that a key names.
func (l *Limits) assign(name, text string) (err error) {
	switch name {
	case "request":
		l.Request, err = parseSize(text)
	case "result":
		l.Result, err = parseSize(text)
	case "depth":
		if l.Depth, err = parseCount(text); err == nil && l.Depth > maxDepth {
			err = fmt.Errorf("%d is more than the %d levels that are ever read", l.Depth, maxDepth)
		}
	case "timeout":
		l.Timeout, err = parseDuration(text)
	case "idle":
		l.Idle, err = parseDuration(text)
	case "sessions":
		l.Sessions, err = parseCount(text)
	case "processes":
		l.Processes, err = parseCount(text)
	case "sessions_total":
		l.SessionsTotal, err = parseCount(text)
	case "processes_total":
		l.ProcessesTotal, err = parseCount(text)
	case "memory":
		l.Memory, err = parseSize(text)
	default:
		err = errors.New("there is no such limit")
	}
	return err
}

// maxDepth is the nesting that strict JSON allows (DESIGN, section 7).
const maxDepth = 128

// keysBelow are the keys of a nested group.
func keysBelow(group string) []string {
	var keys []string
	for i := range settingKeys {
		if rest, ok := strings.CutPrefix(settingKeys[i].key, group+"."); ok {
			first, _, _ := strings.Cut(rest, ".")
			keys = append(keys, first)
		}
	}
	return keys
}

func (c *Config) tls() *TLS {
	if c.TLS == nil {
		c.TLS = &TLS{}
	}
	return c.TLS
}

func (c *Config) local() *LocalUser {
	if c.Identity.Local == nil {
		c.Identity.Local = &LocalUser{}
	}
	return c.Identity.Local
}

func checkListen(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return hinted{"it is not host:port", "127.0.0.1:8437"}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return hinted{fmt.Sprintf("the port is not a number up to 65535, but %q", port), "127.0.0.1:8437"}
	} else if strconv.FormatUint(n, 10) != port {
		return hinted{"the port is not a plain number", "127.0.0.1:8437"}
	}
	return nil
}

func checkStore(s string) error {
	if _, err := store.Path(s); err != nil {
		return hinted{err.Error(), "sqlite://mcpguard.db"}
	}
	return nil
}

func notEmpty(s string) error {
	if strings.TrimSpace(s) == "" {
		return errors.New("it is empty")
	}
	return nil
}

func oneOf(s string, values ...string) error {
	for _, v := range values {
		if s == v {
			return nil
		}
	}
	return fmt.Errorf("%q is none of %s", s, strings.Join(values, ", "))
}

func parseBool(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, hinted{"it is neither true nor false", "true or false"}
}

// parseCount reads a positive whole number.
func parseCount(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n == 0 || s[0] == '0' {
		return 0, errors.New("it is not a positive whole number")
	}
	return int(n), nil
}

// parseSize reads a number of bytes: "1MiB", "512KiB", "4096". Units of a
// thousand are refused, because half of those who write "MB" mean MiB.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "BKMGTi")
	shift, ok := map[string]uint{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[s[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 62)
	if !ok || err != nil || n == 0 || n > 1<<62>>shift {
		return 0, hinted{"it is not a size", "a number and B, KiB, MiB or GiB, such as 1MiB"}
	}
	return int64(n) << shift, nil
}

// parseDuration reads a positive duration: "60s", "15m", "1h30m", and whole
// days, "90d".
func parseDuration(s string) (time.Duration, error) {
	bad := hinted{"it is not a duration", "a number and s, m, h or d, such as 60s"}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil || n == 0 {
			return 0, bad
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, bad
	}
	return d, nil
}
