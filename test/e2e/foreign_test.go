package e2e

import (
	"os"
	"testing"

	"github.com/berth-registry/berth/test/e2e/matrix"
	"github.com/berth-registry/berth/test/e2e/parts"
	"github.com/berth-registry/berth/test/foreignforms"
)

// TestForeignForms compares hostsconf's reading of foreign files with the daemons: the hosts that
// are asked, and that a credential that the provider returns reaches no other host.
func TestForeignForms(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("containerd needs root: run make e2e as root")
	}
	set, err := parts.Locate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range set.Containerd {
		t.Run(program.Version, func(t *testing.T) {
			t.Parallel()
			reached := 0
			err := matrix.Run(t.Context(), program, set.Runc, foreignforms.All(), func(r matrix.Result) {
				reached += len(r.Reached)
				if wrong := r.Wrong(); wrong != "" {
					t.Errorf("%s: %s", r.Form, wrong)
				}
			})
			if err != nil {
				t.Error(err)
			}
			// The control: without the provider's decision many credentials would leak.
			if reached < 50 {
				t.Errorf("a credential that is passed reaches %d mirrors only: the daemon was not asked as kubelet asks it", reached)
			}
		})
	}
}
