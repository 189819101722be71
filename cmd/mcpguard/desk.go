package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// desk is the admin side of a server that runs: the control socket, and the admin
// listener where the configuration has one.
type desk struct {
	admin   *admin
	servers []*http.Server
	serving sync.WaitGroup
	failed  chan error // of a server that ended by itself
	at      string     // address of the admin listener; "" without one
	socket  string
}

// openAdmin listens before agents can call: what cannot be watched over does not
// start.
func openAdmin(g *guard, cfg *Config, log *slog.Logger) (*desk, error) {
	d := &desk{admin: &admin{guard: g, log: log}, failed: make(chan error, 2), socket: cfg.ControlPath()}
	control, err := listenControl(d.socket)
	if err != nil {
		return nil, err
	}
	d.serve(peers{control, os.Geteuid(), log}, d.admin.overControl(), log)
	if cfg.Admin == nil {
		return d, nil
	}
	certificate := cfg.TLS
	if onLoopback(cfg.Admin.Listen) {
		certificate = nil // probes of this machine know no name for it
	}
	l, scheme, err := listenAt(cfg.Admin.Listen, certificate)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the admin listener: %w", err), d.close())
	}
	d.at = scheme + "://" + l.Addr().String()
	d.serve(l, d.admin.overTCP(cfg), log)
	return d, nil
}

func (d *desk) serve(l net.Listener, h http.Handler, log *slog.Logger) {
	server := newServer(h, log)
	server.WriteTimeout = time.Minute
	d.servers = append(d.servers, server)
	d.serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.failed <- fmt.Errorf("the admin side: %w", err)
		}
	})
}

func (d *desk) announce(env *environment) {
	if d.at != "" {
		fmt.Fprintf(env.stderr, "the admin listener is at %s\n", d.at)
	}
}

// close lets visitors hear their answers, within bounds.
func (d *desk) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	var errs []error
	for _, s := range d.servers {
		if err := s.Shutdown(ctx); err != nil {
			errs = append(errs, s.Close())
		}
	}
	d.serving.Wait()
	if err := os.Remove(d.socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, fmt.Errorf("remove the control socket: %w", err))
	}
	return errors.Join(errs...)
}
