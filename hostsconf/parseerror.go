package hostsconf

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// parseError gives containerd's complaint about a file without the values
// that it quotes, one of which may be a header with a login.
func parseError(err error) error {
	if d, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, column := d.Position()
		return fmt.Errorf("line %d, column %d: invalid TOML", line, column)
	}
	if line, column := 0, 0; isV1(err, &line, &column) {
		if strings.Contains(err.Error(), "cannot contain ']'") {
			return fmt.Errorf("line %d, column %d: it cannot read the brackets of an IPv6 address there; such a host can only be the server", line, column)
		}
		return fmt.Errorf("line %d, column %d: invalid TOML, or a value of another type than containerd takes there", line, column)
	}
	for _, known := range []string{"unknown capability ", "time: ", "unable to parse server "} {
		if strings.HasPrefix(err.Error(), known) {
			return errors.New(strings.TrimSpace(err.Error()))
		}
	}
	return errors.New("a value has a type that containerd does not take there")
}

// isV1 reports whether go-toml v1 made an error, and where: "(1, 2): what".
func isV1(err error, line, column *int) bool {
	text := strings.TrimPrefix(err.Error(), "failed to parse TOML: ")
	n, _ := fmt.Sscanf(text, "(%d, %d):", line, column)
	return n == 2
}
