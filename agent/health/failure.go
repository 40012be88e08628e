package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/neterr"
	"github.com/berth-registry/berth/internal/proxy/transport"
)

// Reason is why a probe failed: a short word, usable as the label of a metric.
type Reason string

// The reasons.
const (
	DNS      Reason = "dns"      // the name has no address, or the name server does not answer
	Dial     Reason = "dial"     // no connection
	TLS      Reason = "tls"      // the handshake failed, or a certificate of the config is unusable
	Proxy    Reason = "proxy"    // the proxy cannot be reached or refuses
	Timeout  Reason = "timeout"  // the time limit passed
	Closed   Reason = "closed"   // the connection ended before the answer did
	Protocol Reason = "protocol" // the answer is not HTTP
	HTTP5xx  Reason = "http_5xx" // the answer is 500 or above
)

// explain says why a request failed that got as far as at; ended is the error of its context. The
// text quotes nothing that the server sent, except names in a certificate: a registry or a proxy
// might repeat our own secrets.
func explain(err, ended error, at stage, limit time.Duration) (Reason, string) {
	var refused *proxyError
	var dns *net.DNSError
	var op *net.OpError
	var timeout net.Error
	isOp := errors.As(err, &op)
	switch {
	case errors.As(err, &refused):
		return Proxy, refused.Error()
	case errors.Is(err, transport.ErrAddress):
		return Proxy, transport.ErrAddress.Error()
	case isOp && op.Op == "proxyconnect":
		return Proxy, "the proxy cannot be reached: " + neterr.Cause(op.Err)
	case errors.As(err, &dns):
		return DNS, neterr.Name(dns)
	case at == resolving && (isTimeout(err, ended)):
		return DNS, fmt.Sprintf("the name was not resolved within %s", limit)
	case isTimeout(err, ended), errors.As(err, &timeout) && timeout.Timeout():
		return Timeout, timeoutText(at, limit)
	}
	if text := tlsText(err); text != "" {
		return TLS, text
	}
	switch {
	case isOp && op.Op == "dial", at == dialing:
		return Dial, "no connection: " + neterr.Cause(err)
	case at == handshaking:
		return TLS, "the TLS handshake failed: " + neterr.Cause(err)
	case strings.Contains(err.Error(), "malformed"), strings.Contains(err.Error(), "exceeded"):
		// net/http has no type for these errors, and their text quotes the answer.
		return Protocol, "the answer is not HTTP"
	}
	return Closed, "the connection ended before the answer"
}

func isTimeout(err, ended error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(ended, context.DeadlineExceeded)
}

// timeoutText says what took too long.
func timeoutText(at stage, limit time.Duration) string {
	switch at {
	case dialing:
		return fmt.Sprintf("no connection within %s", limit)
	case handshaking:
		return fmt.Sprintf("the TLS handshake did not end within %s", limit)
	case answering:
		return fmt.Sprintf("the answer did not end within %s", limit)
	}
	return fmt.Sprintf("no answer within %s", limit)
}

// tlsText describes an error of TLS, "" if err is none.
func tlsText(err error) string {
	var material *materialError
	if errors.As(err, &material) {
		return material.Error()
	}
	return neterr.TLS(err)
}
