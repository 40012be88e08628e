package health

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
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

// once makes one probe of e over real sockets.
func once(t *testing.T, o Options, s Settings, e Endpoint) result {
	t.Helper()
	if o.Getenv == nil {
		o.Getenv = noEnvironment
	}
	p := New(o)
	p.Set(s, []Endpoint{e})
	target := p.byURL[e.URL][0]
	return ask(t.Context(), p.roundTripper(target), target.key.String(), s.Timeout)
}

// quick is for probes that must time out, patient for those that must not.
func quick() Settings { s := defaults(); s.Timeout = 4 * time.Second; return s }

func patient() Settings {
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
		r := once(t, Options{}, patient(), endpoint(t, server.URL))
		server.Close()
		if r.status != code || r.healthy() != (code < 500) {
			t.Errorf("%d: %+v", code, r)
		}
		if code >= 500 && (r.reason != HTTP5xx || !strings.Contains(r.err, http.StatusText(code))) {
			t.Errorf("%d: reason %q, %s", code, r.reason, r.err)
		}
	}
}

// raw is a server whose connections are handled by handle. It ends with the test.
func raw(t *testing.T, handle func(ctx context.Context, c net.Conn)) string {
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

// bound returns a socket bound to a loopback port that no other process can use.
func bound(t *testing.T) (fd int, name unix.Sockaddr, address string) {
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
	fd, name, address := bound(t)
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
	_, _, address := bound(t)
	return address
}

func TestFailuresOfServers(t *testing.T) {
	endless := func(ctx context.Context, c net.Conn) { <-ctx.Done() }
	for _, c := range []struct {
		name    string
		address string
		s       Settings
		reason  Reason
		text    string
	}{
		{"nothing listens", "http://" + closedPort(t), patient(), Dial, "connection refused"},
		{"black hole", "http://" + blackHole(t), quick(), Timeout, "no connection within"},
		{"accepts and hangs", "http://" + raw(t, endless), quick(), Timeout, "no answer within"},
		{"accepts and hangs in the handshake", "https://" + raw(t, endless), quick(), Timeout, "TLS handshake did not end"},
		{"drips its header", "http://" + raw(t, func(ctx context.Context, c net.Conn) {
			readRequest(c)
			drip(ctx, c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 4000))
		}), quick(), Timeout, "within"},
		{"drips its body", "http://" + raw(t, func(ctx context.Context, c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
			drip(ctx, c, strings.Repeat("x", 4000))
		}), quick(), Timeout, "did not end within"},
		{"closes at once", "http://" + raw(t, says("")), patient(), Closed, "before the answer"},
		{"closes within the body", "http://" + raw(t, says("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\nx")), patient(), Closed, "before the answer"},
		{"speaks something else", "http://" + raw(t, says("220 mail.corp ESMTP\r\n\r\n")), patient(), Protocol, "not HTTP"},
		{"endless header", "http://" + raw(t, func(_ context.Context, c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+strings.Repeat("X: y\r\n", 1<<17))
			_, _ = io.Copy(io.Discard, c) // a reset would overtake the header
		}), patient(), Protocol, "not HTTP"},
		{"plain http", "https://" + raw(t, says("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")), patient(), TLS, "does not speak TLS"},
		{"not TLS", "https://" + raw(t, says("SSH-2.0-OpenSSH_9.2\r\n")), patient(), TLS, "does not speak TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := once(t, Options{}, c.s, endpoint(t, c.address))
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
			r := once(t, Options{}, patient(), e)
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
	if r := once(t, pool, patient(), endpoint(t, open.URL)); !r.healthy() {
		t.Errorf("with roots: %+v", r)
	}
	e := endpoint(t, open.URL)
	e.TLS.CA = other.PEM()
	if r := once(t, pool, patient(), e); !r.healthy() {
		t.Errorf("a CA replaces the roots, it should be added: %+v", r)
	}
	if r := once(t, Options{Roots: other.Pool()}, patient(), endpoint(t, open.URL)); r.healthy() {
		t.Error("roots do not matter")
	}
}
