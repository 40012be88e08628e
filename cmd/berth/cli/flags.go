package cli

import (
	"errors"
	"fmt"
	"net"
)

// FileName is the value of a flag that names a file or directory. An empty name, mostly an unset
// variable of a script, is an error: it must mean neither the current directory nor the default.
type FileName string

func (n *FileName) String() string { return string(*n) }

// Type is part of [pflag.Value].
func (n *FileName) Type() string { return "string" }

// Set is part of [pflag.Value].
func (n *FileName) Set(value string) error {
	if value == "" {
		return errors.New("is empty; name one, or leave the flag out")
	}
	*n = FileName(value)
	return nil
}

// CheckListen reports what is wrong with the address of --listen; "" is for none.
func CheckListen(address string) error {
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("--listen: %q is not host:port: %w", address, err)
	}
	return nil
}
