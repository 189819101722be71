package main

import (
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Where the store lies deep, its socket does too.
func TestControlSocketDeepDown(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("x", maxSocketPath), "c", "socket")
	if err := os.Mkdir(filepath.Dir(filepath.Dir(path)), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusTeapot, "here") }), ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(peers{l, os.Geteuid(), slog.New(slog.DiscardHandler)}) }()
	if status, _, err := askControl(t.Context(), path, reloadPath, reloadRequest{}); status != http.StatusTeapot {
		t.Errorf("asked: %d, %v", status, err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
