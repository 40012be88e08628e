package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"

	"github.com/berth-registry/berth/hostsconf"
)

// newTransport reaches a host as containerd does: a CA is added to those of
// the system, the client certificate and skip_verify are as given, HTTP/1.1
// (core/remotes/docker/config, ConfigureHosts and updateTLSConfigFromHost).
//
// Each request has a connection of its own. A connection that is kept proves
// only itself: it lives on when nothing listens any more, when the firewall
// drops new ones, when the name is gone or the certificate has expired, and
// every pull makes new ones. Sessions are not resumed either, for that skips
// the certificate. docs/adr/0008-mirror-prober.md tells what this costs.
//
// The lock is held.
func (p *Prober) newTransport(t hostsconf.TLS) (http.RoundTripper, error) {
	secure, err := tlsConfig(t, p.roots)
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		Proxy:                  p.env.choose(p.settings.Proxy),
		OnProxyConnectResponse: refuse,
		DialContext:            dial,
		TLSClientConfig:        secure,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxBody,
	}, nil
}

// materialError says which certificate of the config cannot be used.
type materialError struct{ text string }

func (e *materialError) Error() string { return e.text }

func tlsConfig(t hostsconf.TLS, roots *x509.CertPool) (*tls.Config, error) {
	c := &tls.Config{InsecureSkipVerify: t.SkipVerify} // the config asks for it: tls.insecureSkipVerify
	if roots != nil {
		c.RootCAs = roots
	}
	if t.CA != nil {
		if roots == nil {
			system, err := x509.SystemCertPool()
			if err != nil {
				return nil, &materialError{"the certificates of the system cannot be read"}
			}
			roots = system
		}
		c.RootCAs = roots.Clone()
		if !c.RootCAs.AppendCertsFromPEM(t.CA) {
			return nil, &materialError{"the CA file holds no certificate"}
		}
	}
	if t.Cert != nil {
		// A key may stand in the same file, as for containerd.
		key := []byte(t.Key.Reveal())
		if len(key) == 0 {
			key = t.Cert
		}
		pair, err := tls.X509KeyPair(t.Cert, key)
		if err != nil {
			return nil, &materialError{"the client certificate and its key cannot be used"}
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// transportOwner is the key of the context to which a connection belongs.
type transportOwner struct{}

// withOwner makes every connection of a request end with ctx. net/http goes on
// dialing, and shaking hands, when a request is given up, in the hope that
// another one needs the connection; here none will.
func withOwner(ctx context.Context) context.Context {
	return context.WithValue(ctx, transportOwner{}, ctx)
}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	if o, ok := ctx.Value(transportOwner{}).(context.Context); ok {
		ctx = o
	}
	d := net.Dialer{FallbackDelay: 300 * time.Millisecond, KeepAlive: -1}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	return conn, nil
}
