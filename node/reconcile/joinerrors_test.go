package reconcile

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/test/nodetest"
)

// An error that occurs twice for one reason is reported once, and errors.Is still finds its
// causes.
func TestJoinDistinct(t *testing.T) {
	full := func() error { return &managedfile.FileError{Path: "/a", Op: "write", Err: unix.ENOSPC} }
	for name, c := range map[string]struct {
		errs []error
		want string
	}{
		"nothing":      {[]error{nil, nil}, ""},
		"one":          {[]error{nil, full()}, "/a: write: no space left on device"},
		"twice":        {[]error{full(), full()}, "/a: write: no space left on device"},
		"within joins": {[]error{errors.Join(errors.New("b"), full()), errors.Join(full(), errors.Join(full(), errors.New("c")))}, "b\n/a: write: no space left on device\nc"},
		"not quite":    {[]error{full(), fmt.Errorf("keep: %w", full())}, "/a: write: no space left on device\nkeep: /a: write: no space left on device"},
		"not a join":   {[]error{fmt.Errorf("%w or %w", fs.ErrExist, unix.ENOSPC), fs.ErrExist}, "file already exists or no space left on device\nfile already exists"},
	} {
		t.Run(name, func(t *testing.T) {
			err := joinDistinct(c.errs...)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if text != c.want {
				t.Errorf("%q, want %q", text, c.want)
			}
			if strings.Contains(text, "/a") && !errors.Is(err, unix.ENOSPC) {
				t.Error("the cause is lost")
			}
		})
	}
}

// Berth's own directory cannot be made: writing the saved state and writing the provider's
// rules fail with the same error.
func TestConvergeReportsErrorsOnce(t *testing.T) {
	m, full := fullNode(t, t.TempDir())
	full.Store(true)
	cfg := nodetest.ParseConfig(t, "mirrors: [{upstream: quay.io, endpoints: [{url: a.corp}]}]\n")
	_, err := m.Converge(t.Context(), cfg, Inputs{}.Compute(cfg), func() error { return m.Store.WritePrivate(HealthFile, []byte("{}\n")) })
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("nothing fails: %v", err)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 1 || !strings.Contains(lines[0], StateDir) {
		t.Errorf("%d lines:\n%v", len(lines), err)
	}
	if _, err := m.Root.Lstat(nodetest.CertsDir + "/" + hostsconf.DirName("quay.io")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("written without a record: %v", err)
	}
}
