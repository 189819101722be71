package main

import (
	"strings"
	"testing"
	"time"
)

func TestParseUsage(t *testing.T) {
	stat := `4242 (odd) name) S 1 4242 4242 0 -1 4194560 100 0 0 0 250 50 7 7 20 0 9 0 100 1 2`
	status := "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"
	u, err := parseUsage([]byte(stat), []byte(status))
	if err != nil {
		t.Fatal(err)
	}
	if want := (usage{cpu: 3 * time.Second, rss: 1 << 20, peak: 2 << 20}); u != want {
		t.Errorf("usage %+v, want %+v", u, want)
	}
	for _, c := range [][2]string{
		{"", status},
		{"4242 (short) S 1", status},
		{strings.Replace(stat, "250", "many", 1), status},
		{stat, "VmRSS:\t1024 kB\n"},
		{stat, "VmRSS:\tmuch kB\nVmHWM:\t1 kB\n"},
	} {
		if u, err := parseUsage([]byte(c[0]), []byte(c[1])); err == nil {
			t.Errorf("stat %q, status %q: %+v, want an error", c[0], c[1], u)
		}
	}
}

func TestProcessEndsWithItsChildren(t *testing.T) {
	dir := t.TempDir()
	p, err := startProcess(dir, "sleepers", "sh", "-c", "sleep 60 & sleep 60")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.resetPeak(); err != nil {
		t.Error(err)
	}
	u, err := p.measure()
	if err != nil || u.rss <= 0 || u.peak <= 0 {
		t.Errorf("measure: %+v %v, want memory above zero", u, err)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if _, err := p.measure(); err == nil {
		t.Error("a process that ended can still be measured")
	}
	if err := p.stop(); err != nil {
		t.Errorf("stopping twice: %v", err)
	}
}

func TestProcessThatDoesNotListen(t *testing.T) {
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	p, err := startProcess(t.TempDir(), "broken", "sh", "-c", "echo no such policy; exit 2")
	if err != nil {
		t.Fatal(err)
	}
	err = p.listening(address, time.Minute)
	if err == nil || !strings.Contains(err.Error(), "no such policy") {
		t.Errorf("listening: %v, want what the program said", err)
	}
	if _, err := startProcess(t.TempDir(), "absent", "/no/such/program"); err == nil {
		t.Error("a program that does not exist was started")
	}
}
