package hostsconf

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/berth-registry/berth/internal/redact"
)

// parseError returns containerd's error about a file without the values that it quotes: one may be
// a header with a login.
func parseError(err error) error {
	if d, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, column := d.Position()
		return fmt.Errorf("line %d, column %d: invalid TOML", line, column)
	}
	if line, column := 0, 0; isV1(err, &line, &column) {
		if strings.Contains(err.Error(), "cannot contain ']'") {
			return fmt.Errorf("line %d, column %d: containerd 1.x cannot read an IPv6 address in brackets here; use such a host only as server", line, column)
		}
		return fmt.Errorf("line %d, column %d: invalid TOML, or a value of the wrong type", line, column)
	}
	for _, known := range []struct{ prefix, says string }{
		{"unknown capability ", "capabilities has an unknown value; use pull, resolve or push"},
		{"time: ", "dial_timeout is not a duration; write a value such as \"2s\""},
		{"unable to parse server ", "server is not a URL"},
	} {
		if strings.HasPrefix(err.Error(), known.prefix) {
			return errors.New(known.says)
		}
	}
	return errors.New("a value has the wrong type")
}

// isV1 reports whether err comes from go-toml v1, and its position: "(1, 2): message".
func isV1(err error, line, column *int) bool {
	text := strings.TrimPrefix(err.Error(), "failed to parse TOML: ")
	n, _ := fmt.Sscanf(text, "(%d, %d):", line, column)
	return n == 2
}

// fileError returns containerd's error about a file that the hosts.toml in dir names. The name is
// shown only if it is certainly a path.
func fileError(dir string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("names %s: %w", shownFile(strings.TrimPrefix(pe.Path, dir+"/")), pe.Err)
	}
	if !quotedName.MatchString(err.Error()) {
		return err
	}
	return errors.New(quotedName.ReplaceAllStringFunc(err.Error(), func(quoted string) string {
		return shownFile(strings.TrimPrefix(strings.Trim(quoted, `"`), dir+"/"))
	}))
}

var quotedName = regexp.MustCompile(`"[^"]*"`)

// shownFile returns the name of a file that a foreign hosts.toml names, as a message shows it.
func shownFile(name string) string {
	if redact.Path(name) == "" {
		return "a file whose name is not shown"
	}
	return strconv.Quote(name)
}
