package managedfile

import (
	"os"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/nodefs"
)

// Another program adds a file to a directory at the moment of its removal.
func TestFileAddedDuringRemoval(t *testing.T) {
	for _, how := range []string{"moved back", "killed", "made again"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t)
			w.apply(hosts("docker.io", "a\n"))
			theirs := certs + "/docker.io/theirs.crt"
			slipped, killed := false, false
			w.opts = []Option{WithSteps(func(s nodefs.Step) error {
				if killed {
					return errStopped
				}
				if s.Op == "rename" && strings.Contains(s.Path, string(nodefs.TempOld)) && !slipped {
					slipped = true
					w.write(theirs, "theirs", 0o640)
				}
				if s.Op == "rmdir" && strings.Contains(s.Path, string(nodefs.TempOld)) {
					switch how {
					case "killed":
						killed = true
						return errStopped
					case "made again":
						if !w.exists(certs + "/docker.io") {
							w.write(certs+"/docker.io/other.crt", "other", 0o644)
						}
					}
				}
				return nil
			})}
			w.restart()
			_, err := w.tryApply()
			if !slipped || (err != nil) != killed {
				t.Fatalf("slipped %v, killed %v, %v", slipped, killed, err)
			}
			if killed && w.exists(theirs) {
				t.Fatal("it was not out of sight")
			}
			w.opts = nil
			w.restart()
			w.apply()
			w.expect(w.read(theirs), "theirs")
			if info, _ := os.Stat(w.path(theirs)); info.Mode() != 0o640 {
				t.Errorf("mode %v", info.Mode())
			}
			if w.exists(docker) || len(w.temps()) > 0 {
				t.Errorf("left: %v", w.tree(certs))
			}
		})
	}
}

// Only names of Berth's own pattern are removed.
func TestSweepLeavesOtherNames(t *testing.T) {
	w := newWorld(t)
	w.apply(hosts("docker.io", "a\n"))
	for _, name := range []string{
		nodefs.TempPrefix + "x", nodefs.TempPrefix + "0123456789abcdeg-file", nodefs.TempPrefix + "0123456789abcdef",
		nodefs.TempPrefix + "0123456789abcdef-old-", "x" + nodefs.TempPrefix + "0123456789abcdef-file", ".hosts.toml.swp",
	} {
		w.write(certs+"/docker.io/"+name, "theirs", 0o644)
		w.write(certs+"/"+name+"/hosts.toml", "theirs", 0o644)
	}
	before := w.tree("/")
	w.apply(hosts("docker.io", "a\n"))
	w.same(before)
}

func TestSweepClearsUp(t *testing.T) {
	w := newWorld(t)
	w.apply(hosts("docker.io", "a\n"))
	before := w.tree("/")
	const id = nodefs.TempPrefix + "0123456789abcdef"
	w.write(certs+"/docker.io/"+id+"-file", "torn", 0o600)
	w.write(certs+"/"+id+"-new/hosts.toml", "torn", 0o600)
	w.write(certs+"/"+id+"-old-quay.io/hosts.toml", string(hosts("quay.io", "x").Content()), 0o600)
	w.write(record.DefaultStateDir+"/"+id+"-file", "torn", 0o600)
	w.apply(hosts("docker.io", "a\n"))
	if left := w.temps(); len(left) != 1 { // the store's own is removed with its next write
		t.Errorf("left: %v", left)
	}
	w.apply(hosts("docker.io", "b\n"))
	w.apply(hosts("docker.io", "a\n"))
	got := withoutTimes(w.tree("/etc"))
	want := map[string]string{}
	for p, line := range withoutTimes(before) {
		if strings.HasPrefix(p, "/etc") {
			want[p] = line
		}
	}
	if d := diffTrees(got, want); d != "" {
		t.Error(d)
	}
	if left := w.temps(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
