package images

import "fmt"

// netError is a request that got no answer. It names the host and not the
// address, which may hold what is not for a log.
type netError struct {
	host string
	err  error
}

func (e *netError) Error() string { return fmt.Sprintf("%s: %v", e.host, e.err) }

func (e *netError) Unwrap() error { return e.err }
