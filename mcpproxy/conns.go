package mcpproxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// conns is a pool of HTTP/1.1 connections to one upstream over plain TCP. It
// does what a relay needs of http.Transport without its two goroutines a
// connection, which cost more CPU than everything else on a call's way.
//
// A request is written whole, in one write. Nothing is ever sent twice: a
// connection is looked at before it is used again, and when the upstream closes
// it in that very moment the call fails rather than run twice.
type conns struct {
	dialer  net.Dialer
	address string // host:port to dial
	at      *url.URL
	head    string // of a request to at, behind its method: target, version and host

	spare sync.Pool // of *buffers: a connection that is idle needs none

	mu     sync.Mutex
	idle   []*upConn // the one used last is the last
	closed bool
}

const (
	maxIdleConns = 256
	maxIdleAge   = 60 * time.Second
	maxHead      = 256 << 10 // bytes of an answer's status line and headers
)

type upConn struct {
	net.Conn
	bound    io.LimitedReader // of what is read into the buffer; open but for the head of an answer
	since    time.Time        // when it became idle
	*buffers                  // nil while it is idle
}

// buffers are what a connection needs while a request is on it.
type buffers struct {
	read  *bufio.Reader
	write *bufio.Writer
}

// newTransport is the client side of HTTP towards one upstream. It follows no
// redirect (a reply must not choose where a call goes), inflates nothing (a
// small reply must not grow without bound), and takes no proxy from the
// environment. Silence is bounded by the contexts of requests.
func newTransport(at *url.URL) http.RoundTripper {
	dialer := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	if at.Scheme == "http" {
		port := at.Port()
		if port == "" {
			port = "80"
		}
		return &conns{
			dialer: dialer, address: net.JoinHostPort(at.Hostname(), port),
			at: at, head: headTo(at),
		}
	}
	return &http.Transport{
		DialContext:         dialer.DialContext,
		MaxIdleConns:        1024,
		MaxIdleConnsPerHost: maxIdleConns,
		IdleConnTimeout:     maxIdleAge,
		TLSHandshakeTimeout: 10 * time.Second,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		DisableCompression:  true,
	}
}

func headTo(at *url.URL) string {
	return " " + at.RequestURI() + " HTTP/1.1\r\nHost: " + at.Host + "\r\n"
}

// RoundTrip sends one request and reads the head of its answer. The connection
// goes back to the pool when the answer's body was read to its end.
func (p *conns) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	c, err := p.take(ctx)
	if err != nil {
		return nil, err
	}
	unhook := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // fails on a closed connection, which is as good
	head := p.head
	if req.URL != p.at {
		head = headTo(req.URL)
	}
	res, err := c.exchange(req, head)
	if err != nil {
		unhook()
		_ = c.Close() // it is broken already
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	res.Body = &upBody{body: res.Body, conn: c, pool: p, unhook: unhook, reuse: !res.Close}
	return res, nil
}

// exchange writes a request and reads the head of its answer. It goes to the
// pool's address, whatever host the URL of the request names.
func (c *upConn) exchange(req *http.Request, head string) (*http.Response, error) {
	w := c.write // keeps its first error until Flush
	_, _ = w.WriteString(req.Method)
	_, _ = w.WriteString(head)
	if req.Body != nil {
		_, _ = w.WriteString("Content-Length: ")
		_, _ = w.WriteString(strconv.FormatInt(req.ContentLength, 10))
		_, _ = w.WriteString("\r\n")
	}
	_ = req.Header.Write(w) // takes line ends out of values
	_, _ = w.WriteString("\r\n")
	if req.Body != nil {
		_, _ = io.Copy(w, req.Body)
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	c.bound.N = maxHead // http.ReadResponse itself reads headers without end
	for {
		res, err := http.ReadResponse(c.read, req)
		if err != nil {
			return nil, noEOF(err)
		}
		if res.StatusCode >= 200 {
			c.bound.N = math.MaxInt64
			return res, nil
		}
		if res.StatusCode == http.StatusSwitchingProtocols {
			return nil, errors.New("the upstream switched protocols")
		}
	}
}

// noEOF keeps a connection that ended early from looking like the end of a
// stream.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// take is an idle connection that is still open, or a new one.
func (p *conns) take(ctx context.Context) (*upConn, error) {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			break
		}
		c := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if time.Since(c.since) < maxIdleAge && c.quiet() {
			p.equip(c)
			return c, nil
		}
		_ = c.Close()
	}
	conn, err := p.dialer.DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &upConn{Conn: conn, bound: io.LimitedReader{R: conn}}
	p.equip(c)
	return c, nil
}

// equip gives a connection its buffers.
func (p *conns) equip(c *upConn) {
	b, ok := p.spare.Get().(*buffers)
	if !ok {
		b = &buffers{bufio.NewReaderSize(nil, 8<<10), bufio.NewWriterSize(nil, 8<<10)}
	}
	b.read.Reset(&c.bound)
	b.write.Reset(c.Conn)
	c.buffers = b
}

// quiet reports whether an idle connection is open and has nothing to say. One
// that was closed, or that speaks unasked, must not carry another call.
func (c *upConn) quiet() bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EWOULDBLOCK)
		return true
	})
	return err == nil && quiet
}

// put takes a connection back, unless it said more than it was asked: the next
// caller could take that for its answer.
func (p *conns) put(c *upConn) {
	if c.read.Buffered() > 0 {
		_ = c.Close() // nothing is lost with it
		return
	}
	c.read.Reset(nil)
	c.write.Reset(nil)
	p.spare.Put(c.buffers)
	c.buffers = nil
	c.since = time.Now()
	p.mu.Lock()
	keep := !p.closed && len(p.idle) < maxIdleConns
	if keep {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		_ = c.Close()
	}
}

// CloseIdleConnections closes the pool for good: nothing is put back any more.
func (p *conns) CloseIdleConnections() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
}

// upBody is the body of an answer. Read to its end, it gives the connection
// back; closed before, it closes the connection.
type upBody struct {
	body   io.ReadCloser
	conn   *upConn // nil once it is given back or closed
	pool   *conns
	unhook func() bool
	reuse  bool
}

func (b *upBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if errors.Is(err, io.EOF) {
		b.done(b.reuse)
	}
	return n, err
}

func (b *upBody) Close() error {
	b.done(false)
	return nil
}

func (b *upBody) done(reuse bool) {
	c := b.conn
	if c == nil {
		return
	}
	b.conn = nil
	if b.unhook() && reuse { // false: the context ended, and with it the connection's deadline
		b.pool.put(c)
		return
	}
	_ = c.Close()
}
