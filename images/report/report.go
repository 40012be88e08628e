// Package report holds the results of berth images list, check and copy as people and scripts read
// them: types with the names of the JSON and YAML output, and the same as text.
//
// It asks no registry and changes nothing. Start reading at [List], [Check] and [Copy]; [Progress]
// shows a copy while it runs.
package report

import (
	"fmt"
	"strings"
)

// Count returns a number with its noun, in the plural unless it is 1.
func Count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "y"):
		what = strings.TrimSuffix(what, "y") + "ie"
	}
	return fmt.Sprintf("%d %ss", n, what)
}
