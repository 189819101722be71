package main

import (
	"context"
	"net"
	"sync"

	"mcpguard/identity"
)

// stdioPipe is a listener whose only client is in this process: the way from
// stdin to the door that every agent uses.
type stdioPipe struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newStdioPipe() *stdioPipe {
	return &stdioPipe{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept waits for Dial.
func (p *stdioPipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and Dial; connections stay.
func (p *stdioPipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr is no address of a network.
func (p *stdioPipe) Addr() net.Addr { return stdioAddr{} }

// Dial connects, whatever the address.
func (p *stdioPipe) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- stdioConn{theirs}:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// stdioConn says where its requests come from: identity.Stdio knows them by it.
type stdioConn struct{ net.Conn }

func (stdioConn) RemoteAddr() net.Addr { return stdioAddr{} }

type stdioAddr struct{}

func (stdioAddr) Network() string { return identity.StdioAddr }
func (stdioAddr) String() string  { return identity.StdioAddr }
