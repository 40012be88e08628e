package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/berth-registry/berth/images/manifest"
)

// statusError is an answer with an unexpected status.
type statusError struct {
	registry   string
	request    string // as in "PUT manifest 1.27"
	status     int
	codes      []string      // of the specification, as DENIED
	text       string        // of the registry, one line
	retryAfter time.Duration // Retry-After
	hint       string        // what to do, or which login was used
}

// maxErrorBody limits how much of an error body is read.
const maxErrorBody = 64 << 10 // bytes

// checkStatus returns nil if the status is one of ok, or else a *statusError.
func (r *Registry) checkStatus(resp *http.Response, what string, ok ...int) error {
	if slices.Contains(ok, resp.StatusCode) {
		return nil
	}
	e := &statusError{registry: r.name, request: what, status: resp.StatusCode}
	e.retryAfter, _ = retryAfter(resp.Header, time.Now())
	defer closeAfterStall(resp.Body)()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return e // the status is enough
	}
	var said transport.Error
	if json.Unmarshal(body, &said) == nil && len(said.Errors) > 0 {
		e.setErrors(said.Errors)
	} else if kind := resp.Header.Get("Content-Type"); !strings.Contains(kind, "html") {
		e.text = manifest.OneLine(string(body))
	}
	return e
}

// tokenStatus makes an error of the answer of a token service.
func (r *Registry) tokenStatus(refusal *transport.Error) *statusError {
	e := &statusError{registry: r.name, request: "its token service", status: refusal.StatusCode}
	e.setErrors(refusal.Errors)
	return e
}

// setErrors takes over the errors of an answer, in the form of the specification:
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
func (e *statusError) setErrors(all []transport.Diagnostic) {
	var texts []string
	for _, d := range all {
		e.codes = append(e.codes, string(d.Code))
		text := strings.ToLower(string(d.Code))
		if d.Message != "" && !strings.EqualFold(strings.ReplaceAll(d.Message, " ", "_"), text) {
			text = d.Message
		}
		if cause := driverError(d.Detail); cause != nil {
			text += " (" + cause.Error() + ")"
		}
		texts = append(texts, text)
	}
	e.text = manifest.OneLine(strings.Join(slices.Compact(texts), "; "))
}

// driverError returns the system error that docker-registry puts as a number into the details of an
// answer: {"DriverName":"filesystem","Enclosed":{"Op":"mkdir","Path":"…","Err":28}}.
func driverError(detail any) error {
	d, ok := detail.(map[string]any)
	if !ok {
		return nil
	}
	enclosed, ok := d["Enclosed"].(map[string]any)
	if !ok {
		return nil
	}
	if number, ok := enclosed["Err"].(float64); ok && number > 0 && number < 200 {
		return syscall.Errno(number)
	}
	return nil
}

// Error is one line: registry, request, status, text and hint.
func (e *statusError) Error() string {
	s := e.registry + ": "
	if e.request != "" {
		s += e.request + ": "
	}
	s += strings.TrimSpace(fmt.Sprintf("%d %s", e.status, http.StatusText(e.status)))
	if e.text != "" {
		s += ": " + e.text
	}
	if e.retryAfter > 0 && e.status == http.StatusTooManyRequests {
		s += fmt.Sprintf(" (it asks to wait %s)", e.retryAfter)
	}
	if e.isNoSpace() {
		return s + "; the registry has no space left"
	}
	if e.hint != "" {
		s += "; " + e.hint
	}
	return s
}

// hasCode reports whether the answer has this error code.
func (e *statusError) hasCode(code transport.ErrorCode) bool {
	return slices.Contains(e.codes, string(code))
}

// isDenied reports whether the login was refused or is missing.
func (e *statusError) isDenied() bool {
	return e.status == http.StatusUnauthorized || e.status == http.StatusForbidden
}

// isNoSpace reports whether a disk or a quota is full. There is a status for it; docker-registry
// answers 500 with the system's message.
func (e *statusError) isNoSpace() bool {
	if e.status == http.StatusInsufficientStorage {
		return true
	}
	text := strings.ToLower(e.text)
	return strings.Contains(text, "no space left on device") || strings.Contains(text, "disk quota") || strings.Contains(text, "quota exceeded") ||
		strings.Contains(text, "exceeds the quota") || strings.Contains(text, "exceed the configured upper limit")
}

// classify returns whether a retry may help.
func (e *statusError) classify() action {
	if e.status == http.StatusTooManyRequests {
		return actionWait
	}
	if e.isNoSpace() {
		return actionGiveUp
	}
	switch e.status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout,
		499,                     // nginx: the client closed the connection
		520, 521, 522, 523, 524: // Cloudflare: its connection to the registry
		return actionRetry
	}
	return actionGiveUp
}

// IsHidden reports whether err may mean that the content is missing: some registries answer 403 for
// it.
// https://github.com/google/go-containerregistry/blob/main/pkg/v1/remote/pusher.go (manifestExists)
func IsHidden(err error) bool {
	refusal, ok := errors.AsType[*statusError](err)
	return errors.Is(err, manifest.ErrNotFound) || ok && refusal.status == http.StatusForbidden
}

// IsUnreadable reports whether a registry cannot read its own content. docker-registry answers 500
// to every request for a file that it was writing when its disk was full, until the content is sent
// again.
// https://github.com/distribution/distribution/blob/v2.8.2/registry/storage/linkedblobstore.go
// (readlink)
func IsUnreadable(err error) bool {
	refusal, ok := errors.AsType[*statusError](err)
	return ok && refusal.status == http.StatusInternalServerError && !refusal.isNoSpace()
}

// WithIndexHint adds the remedy to the refusal of an index whose platforms left were not copied.
func WithIndexHint(err error, left []string) error {
	refusal, ok := errors.AsType[*statusError](err)
	if ok && len(left) > 0 && (refusal.status == http.StatusBadRequest || refusal.status == http.StatusNotFound || refusal.status == http.StatusUnprocessableEntity) {
		refusal.hint = "this registry requires every platform of an index; add --reduce-index, or copy all platforms"
	}
	return err
}
