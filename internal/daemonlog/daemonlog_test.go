package daemonlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// In the journal each record is its priority, then JSON; elsewhere it is JSON alone. Durations have
// a unit.
func TestNew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "stderr")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	stream := fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	for name, c := range map[string]struct {
		stream string
		want   []string // what each line begins with
	}{
		"the journal":       {stream, []string{"<6>", "<4>", "<3>"}},
		"another stream":    {"1:1", []string{"", "", ""}},
		"none":              {"", []string{"", "", ""}},
		"nothing like that": {"journal", []string{"", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("JOURNAL_STREAM", c.stream)
			if err := f.Truncate(0); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Seek(0, 0); err != nil {
				t.Fatal(err)
			}
			log := New(f).With("a", "b").WithGroup("g")
			log.Info("one", slog.Duration("took", 1234567*time.Nanosecond))
			log.Warn("two\nlines")
			log.Error("three")
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
			if len(lines) != len(c.want) {
				t.Fatalf("%s", raw)
			}
			for i, line := range lines {
				rest, ok := strings.CutPrefix(line, c.want[i])
				var record map[string]any
				if err := json.Unmarshal([]byte(rest), &record); !ok || err != nil || record["a"] != "b" {
					t.Errorf("%s: %v", line, err)
				}
			}
			if !bytes.Contains(raw, []byte(`"took":"1.235ms"`)) {
				t.Errorf("a duration without a unit: %s", raw)
			}
		})
	}
}
