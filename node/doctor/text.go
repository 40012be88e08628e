package doctor

import (
	"fmt"
	"io"

	"github.com/berth-registry/berth/internal/textdiff"
)

// WriteText writes findings as "berth doctor" prints them: a line for each, and one for its remedy.
func WriteText(w io.Writer, findings []Finding, paint textdiff.Paint) error {
	styles := map[Level]string{OK: "add", Warn: "conflict", Fail: "remove"}
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Name))
	}
	for _, f := range findings {
		if _, err := fmt.Fprintf(w,
			"%s  %-*s  %s\n", paint(styles[f.Level],
				fmt.Sprintf("%-4s", f.Level)), width, f.Name, f.Detail); err != nil {
			return err
		}
		if f.Remedy != "" && f.Level != OK {
			if _, err := fmt.Fprintf(w, "      %-*s  → %s\n", width, "", f.Remedy); err != nil {
				return err
			}
		}
	}
	return nil
}
