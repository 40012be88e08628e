package transfer

import "fmt"

// NetError is a request without an answer. It names the host and not the address, whose query may
// be a secret.
type NetError struct {
	Host string
	Err  error
}

func (e *NetError) Error() string { return fmt.Sprintf("%s: %v", e.Host, e.Err) }

func (e *NetError) Unwrap() error { return e.Err }
