package trace

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/neterr"
	"github.com/berth-registry/berth/internal/proxy/transport"
)

// transportText says why a request got no answer. It holds nothing that the other side sent,
// because a registry or a proxy may repeat a login.
func transportText(x exchange, ended error, limit time.Duration) (text string, waits bool) {
	var op *net.OpError
	var dns *net.DNSError
	var timeout net.Error
	isOp := errors.As(x.err, &op)
	switch {
	case errors.Is(x.err, transport.ErrAddress):
		return transport.ErrAddress.Error(), false
	case isOp && op.Op == "proxyconnect":
		return "the proxy cannot be reached: " + neterr.Cause(op.Err), false
	case errors.As(x.err, &dns):
		return neterr.Name(dns), false
	case errors.Is(ended, context.DeadlineExceeded), errors.As(x.err, &timeout) && timeout.Timeout():
		if x.written {
			return fmt.Sprintf("it accepts the request and does not answer within %s", limit), true
		}
		return fmt.Sprintf("no connection within %s", limit), true
	}
	if text := neterr.TLS(x.err); text != "" {
		return text, false
	}
	switch {
	case isOp && op.Op == "dial":
		return "no connection: " + neterr.Cause(op.Err), false
	case !x.written && strings.Contains(x.err.Error(), "CONNECT"), !isOp && !x.written:
		return "no connection; the proxy may have refused it", false
	}
	return "the connection ended before the answer did", false
}

// statusText explains an answer by its status.
func statusText(x exchange, hadLogin bool) string {
	switch x.status {
	case http.StatusUnauthorized:
		if hadLogin {
			return "it refuses the login (401)"
		}
		return "it requires a login (401), and there is none for it"
	case http.StatusForbidden:
		if hadLogin {
			return "the login may not do this, or the token has expired (403)"
		}
		return "it forbids this (403)"
	case http.StatusNotFound:
		return "it does not have it (404)"
	case http.StatusTooManyRequests:
		return "too many requests (429)"
	}
	if text := http.StatusText(x.status); text != "" {
		return fmt.Sprintf("it answers %d (%s)", x.status, strings.ToLower(text))
	}
	return fmt.Sprintf("it answers %d", x.status)
}

// maxForeign limits text of others that is shown, in bytes.
const maxForeign = 100
