package health

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/test/pki"
)

var discard = log.New(io.Discard, "", 0)

// probeOnce makes one probe of e over real sockets.
func probeOnce(t *testing.T, o Options, s Settings, e Endpoint) result {
	t.Helper()
	rt, address := prepare(o, s, e)
	return ask(t.Context(), rt, address, s.Timeout)
}

// prepare returns the round tripper and the address of a probe.
func prepare(o Options, s Settings, e Endpoint) (http.RoundTripper, string) {
	if o.Getenv == nil {
		o.Getenv = noEnvironment
	}
	p := New(o)
	p.Set(s, []Endpoint{e})
	target := p.byURL[e.URL][0]
	return p.roundTripper(target), target.key.String()
}

// moment is a point in a request at which a test lets its time run out.
type moment int

const (
	never moment = iota
	dialed
	connected
	inHandshake
	asked
	inAnswer
	inBody
)

// timeoutAt makes one probe of e over real sockets, whose time runs out at a moment.
func timeoutAt(t *testing.T, o Options, at moment, e Endpoint) result {
	t.Helper()
	rt, address := prepare(o, longTimeout(), e)
	ctx := &expiring{Context: t.Context(), done: make(chan struct{})}
	expireAt := func(m moment) {
		if m == at {
			ctx.expire()
		}
	}
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectStart:         func(string, string) { expireAt(dialed) },
		ConnectDone:          func(string, string, error) { expireAt(connected) },
		TLSHandshakeStart:    func() { expireAt(inHandshake) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { expireAt(asked) },
		GotFirstResponseByte: func() { expireAt(inAnswer) },
	})
	return ask(traced, answers(func(r *http.Request) (*http.Response, error) {
		resp, err := rt.RoundTrip(r)
		expireAt(inBody)
		return resp, err
	}), address, longTimeout().Timeout)
}

// expiring is a context that reports the end of its time when expire is called.
type expiring struct {
	context.Context
	once sync.Once
	done chan struct{}
}

func (e *expiring) expire() { e.once.Do(func() { close(e.done) }) }

func (e *expiring) Done() <-chan struct{} { return e.done }

func (e *expiring) Err() error {
	select {
	case <-e.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// longTimeout is for probes that must not time out.
func longTimeout() Settings {
	s := defaults()
	s.Interval, s.Timeout = time.Minute, 30*time.Second
	return s
}

func TestAnswersOfServers(t *testing.T) {
	for _, code := range []int{200, 204, 301, 302, 307, 400, 401, 403, 404, 407, 418, 429, 451, 499, 500, 502, 503, 504, 599} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(code)
		}))
		r := probeOnce(t, Options{}, longTimeout(), endpoint(t, server.URL))
		server.Close()
		if r.status != code || r.healthy() != (code < 500) {
			t.Errorf("%d: %+v", code, r)
		}
		if code >= 500 && (r.reason != HTTP5xx || !strings.Contains(r.err, http.StatusText(code))) {
			t.Errorf("%d: reason %q, %s", code, r.reason, r.err)
		}
	}
}

// rawServer is a server whose connections are handled by handle. It ends with the test.
func rawServer(t *testing.T, handle func(ctx context.Context, c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() {
				defer c.Close()
				stop := context.AfterFunc(ctx, func() { _ = c.Close() })
				defer stop()
				handle(ctx, c)
			})
		}
	})
	t.Cleanup(func() { cancel(); _ = l.Close(); tasks.Wait() })
	return l.Addr().String()
}

func readRequest(c net.Conn) {
	buf := make([]byte, 4096)
	_, _ = c.Read(buf)
}

// says is a handler that reads a request, sends text and closes.
func says(text string) func(context.Context, net.Conn) {
	return func(_ context.Context, c net.Conn) {
		readRequest(c)
		_, _ = io.WriteString(c, text)
	}
}

// drip writes a byte at a time, with pauses shorter than any timeout.
func drip(ctx context.Context, c net.Conn, s string) {
	for i := range len(s) {
		if _, err := c.Write([]byte{s[i]}); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// boundSocket returns a socket bound to a loopback port that no other process can use.
func boundSocket(t *testing.T) (fd int, name unix.Sockaddr, address string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if name, err = unix.Getsockname(fd); err != nil {
		t.Fatal(err)
	}
	return fd, name, (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*unix.SockaddrInet4).Port}).String()
}

// blackHole is an address where every SYN is dropped: a listener with a full queue.
func blackHole(t *testing.T) string {
	t.Helper()
	fd, name, address := boundSocket(t)
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(c) })
		_ = unix.Connect(c, name) // in progress, and most stay so
	}
	return address
}

// closedPort is an address without a listener, reserved while the test runs.
func closedPort(t *testing.T) string {
	t.Helper()
	_, _, address := boundSocket(t)
	return address
}

func TestFailuresOfServers(t *testing.T) {
	endless := func(ctx context.Context, c net.Conn) { <-ctx.Done() }
	for _, c := range []struct {
		name    string
		address string
		expires moment
		reason  Reason
		text    string
	}{
		{"nothing listens", "http://" + closedPort(t), never, Dial, "connection refused"},
		{"black hole", "http://" + blackHole(t), dialed, Timeout, "no connection within"},
		{"accepts and hangs", "http://" + rawServer(t, endless), asked, Timeout, "no answer within"},
		{"accepts and hangs in the handshake", "https://" + rawServer(t, endless), inHandshake, Timeout, "TLS handshake did not end"},
		{"drips its header", "http://" + rawServer(t, func(ctx context.Context, c net.Conn) {
			readRequest(c)
			drip(ctx, c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 4000))
		}), inAnswer, Timeout, "did not end within"},
		{"drips its body", "http://" + rawServer(t, func(ctx context.Context, c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
			drip(ctx, c, strings.Repeat("x", 4000))
		}), inBody, Timeout, "did not end within"},
		{"closes at once", "http://" + rawServer(t, says("")), never, Closed, "before the answer"},
		{"closes within the body", "http://" + rawServer(t, says("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\nx")), never, Closed, "before the answer"},
		{"speaks something else", "http://" + rawServer(t, says("220 mail.corp ESMTP\r\n\r\n")), never, Protocol, "not HTTP"},
		{"endless header", "http://" + rawServer(t, func(_ context.Context, c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+strings.Repeat("X: y\r\n", 1<<17))
			_, _ = io.Copy(io.Discard, c) // a reset would overtake the header
		}), never, Protocol, "not HTTP"},
		{"plain http", "https://" + rawServer(t, says("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")), never, TLS, "does not speak TLS"},
		{"not TLS", "https://" + rawServer(t, says("SSH-2.0-OpenSSH_9.2\r\n")), never, TLS, "does not speak TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := timeoutAt(t, Options{}, c.expires, endpoint(t, c.address))
			if r.reason != c.reason || !strings.Contains(r.err, c.text) {
				t.Errorf("%+v, want %s with %q", r, c.reason, c.text)
			}
		})
	}
}

// A name without an address is not possible on loopback, so these are the errors that net returns.
func TestReasonOfNames(t *testing.T) {
	missing := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "m.corp", IsNotFound: true}}
	if reason, text := explain(missing, nil, dialing, time.Second); reason != DNS || !strings.Contains(text, "no such host") {
		t.Errorf("%s, %s", reason, text)
	}
	silent := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "i/o timeout", Name: "m.corp", IsTimeout: true}}
	if reason, text := explain(silent, nil, dialing, time.Second); reason != DNS || text != "the name server does not answer" {
		t.Errorf("%s, %s", reason, text)
	}
	if reason, text := explain(context.DeadlineExceeded, context.DeadlineExceeded, resolving, time.Second); reason != DNS || !strings.Contains(text, "1s") {
		t.Errorf("%s, %s", reason, text)
	}
}

func TestCertificates(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	answers := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	pair, client := issued(t)(ca.Server("127.0.0.1")), issued(t)(other.Client("node-1"))
	open := serve(t, answers, pair, nil)
	mutual := serve(t, answers, pair, other)
	expired := serve(t, answers, issued(t)(ca.ServerUntil(time.Now().Add(-time.Hour), "127.0.0.1")), nil)
	wrong := serve(t, answers, issued(t)(ca.Server("else.corp")), nil)
	with := func(certOf, keyOf pki.Pair) hostsconf.TLS {
		return hostsconf.TLS{CA: ca.PEM(), Cert: certOf.CertPEM, Key: redact.New(string(keyOf.KeyPEM))}
	}
	stranger := issued(t)(ca.Client("node-1"))
	for _, c := range []struct {
		name   string
		server *httptest.Server
		tls    hostsconf.TLS
		text   string // "" if it answers
	}{
		{"CA given", open, hostsconf.TLS{CA: ca.PEM()}, ""},
		{"no CA", open, hostsconf.TLS{}, "not trusted here"},
		{"another CA", open, hostsconf.TLS{CA: other.PEM()}, "not trusted here"},
		{"not verified", open, hostsconf.TLS{SkipVerify: true}, ""},
		{"expired", expired, hostsconf.TLS{CA: ca.PEM()}, "expired"},
		{"another name", wrong, hostsconf.TLS{CA: ca.PEM()}, "127.0.0.1"},
		{"client certificate", mutual, with(client, client), ""},
		{"client certificate and key in one", mutual, hostsconf.TLS{CA: ca.PEM(), Cert: slices.Concat(client.CertPEM, client.KeyPEM)}, ""},
		{"client certificate missing", mutual, hostsconf.TLS{CA: ca.PEM()}, "ends the TLS handshake"},
		{"client certificate of another CA", mutual, with(stranger, stranger), "ends the TLS handshake"},
		{"key of another certificate", mutual, with(client, pair), "cannot be used"},
		{"CA without certificates", open, hostsconf.TLS{CA: []byte("# none\n")}, "holds no certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := endpoint(t, c.server.URL)
			e.TLS = c.tls
			r := probeOnce(t, Options{}, longTimeout(), e)
			switch {
			case c.text == "" && (!r.healthy() || r.status != http.StatusUnauthorized):
				t.Errorf("%+v", r)
			case c.text != "" && (r.reason != TLS || !strings.Contains(r.err, c.text)):
				t.Errorf("%+v, want %q", r, c.text)
			}
		})
	}
	// Roots replace the certificates of the system.
	pool := Options{Roots: ca.Pool()}
	if r := probeOnce(t, pool, longTimeout(), endpoint(t, open.URL)); !r.healthy() {
		t.Errorf("with roots: %+v", r)
	}
	e := endpoint(t, open.URL)
	e.TLS.CA = other.PEM()
	if r := probeOnce(t, pool, longTimeout(), e); !r.healthy() {
		t.Errorf("a CA replaces the roots, it should be added: %+v", r)
	}
	if r := probeOnce(t, Options{Roots: other.Pool()}, longTimeout(), endpoint(t, open.URL)); r.healthy() {
		t.Error("roots do not matter")
	}
}
