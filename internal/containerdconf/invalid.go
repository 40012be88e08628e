package containerdconf

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/berth-registry/berth/internal/tomldoc"
)

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// syntaxPlace returns the location and the fault of an invalid file, without any of its text.
func syntaxPlace(f File) (where, detail string) {
	var mistake *tomldoc.SyntaxError
	if errors.As(f.Err, &mistake) {
		return fmt.Sprintf("%s:%d:%d", f.Path, mistake.Line, mistake.Column), "is not valid TOML: " + mistake.Reason
	}
	if errors.Is(f.Err, errVersion) {
		return f.place("version"), f.Err.Error()
	}
	return f.Path, f.Err.Error()
}
