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
	for _, known := range []string{"unknown capability ", "time: ", "unable to parse server "} {
		if strings.HasPrefix(err.Error(), known) {
			return err
		}
	}
	return errors.New("a value has a type that containerd does not take there")
}
