package transfer

import "fmt"

// NetError is a request that got no answer. It names the host and not the
// address, which may hold what is not for a log.
type NetError struct {
	Host string
	Err  error
}

func (e *NetError) Error() string { return fmt.Sprintf("%s: %v", e.Host, e.Err) }

func (e *NetError) Unwrap() error { return e.Err }
