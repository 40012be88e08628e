package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/proxy/transport"
)

// newTransport connects as containerd does: a CA is added to those of the system, the client
// certificate and skip_verify are used as given, the protocol is HTTP/1.1 (containerd's
// core/remotes/docker/config, ConfigureHosts and updateTLSConfigFromHost).
//
// Each request has its own connection. A kept connection proves only itself: it survives when
// nothing listens any more, when a firewall drops new connections, when the name is gone or the
// certificate has expired; every pull makes new ones. TLS sessions are not resumed, because that
// skips the certificate. docs/adr/0008-mirror-prober.md has the cost.
//
// The caller holds the lock.
func (p *Prober) newTransport(t hostsconf.TLS) (http.RoundTripper, error) {
	secure, err := tlsConfig(t, p.roots)
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		Proxy:                  transport.Proxy(p.settings.Proxy.Settings().Or(p.env)),
		OnProxyConnectResponse: refuse,
		DialContext:            dial,
		TLSClientConfig:        secure,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxBody,
	}, nil
}

// materialError says which certificate of the config is unusable.
type materialError struct{ text string }

func (e *materialError) Error() string { return e.text }

func tlsConfig(t hostsconf.TLS, roots *x509.CertPool) (*tls.Config, error) {
	c := &tls.Config{InsecureSkipVerify: t.SkipVerify} // tls.insecureSkipVerify in the config
	if roots != nil {
		c.RootCAs = roots
	}
	if t.CA != nil {
		if roots == nil {
			system, err := x509.SystemCertPool()
			if err != nil {
				return nil, &materialError{"the system certificates cannot be read"}
			}
			roots = system
		}
		c.RootCAs = roots.Clone()
		if !c.RootCAs.AppendCertsFromPEM(t.CA) {
			return nil, &materialError{"the CA file holds no certificate"}
		}
	}
	if t.Cert != nil {
		// The key may be in the same file, as for containerd.
		key := []byte(t.Key.Reveal())
		if len(key) == 0 {
			key = t.Cert
		}
		pair, err := tls.X509KeyPair(t.Cert, key)
		if err != nil {
			return nil, &materialError{"the client certificate cannot be used with its key"}
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// transportOwner is the context key of the context that a connection ends with.
type transportOwner struct{}

// withOwner makes every connection of a request end with ctx. When a request is given up, net/http
// goes on dialing and shaking hands for another request to use the connection; here no other will.
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
