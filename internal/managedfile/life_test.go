package managedfile

import (
	"os"
	"testing"
)

func TestLifeOnDisk(t *testing.T) { lifecycle(newWorld(t)) }

func TestLifeInMemory(t *testing.T) {
	w := openWorld(t, fastDir(t))
	defer w.close()
	lifecycle(w)
}

// lifecycle is one sequence for every file system: an empty node, a foreign file adopted, an edit, a
// change, a removal, and a restore.
func lifecycle(w *world) {
	w.scope.Adopt = true
	w.write(docker, "theirs\n", 0o640)
	w.mkdir(certs+"/ghcr.io", 0o711)
	w.must(os.Symlink("docker.io", w.path(certs+"/link.io")))
	base := w.tree("/")
	w.apply(hosts("docker.io", "a\n"), hosts("quay.io", "a\n"), hosts("ghcr.io", "a\n"), hosts("link.io", "a\n"))
	w.append(quay, "edit\n")
	r := w.apply(hosts("docker.io", "b\n"), hosts("quay.io", "b\n"), hosts("ghcr.io", "b\n"))
	w.expect(actions(r.Changed), "update docker.io/hosts.toml, repair quay.io/hosts.toml, update ghcr.io/hosts.toml")
	if len(r.Saved) != 1 {
		w.t.Errorf("saved %v", r.Saved)
	}
	w.expect(actions(w.apply(hosts("docker.io", "b\n"), hosts("quay.io", "b\n")).Changed), "remove ghcr.io/hosts.toml")
	w.restart()
	w.expect(actions(w.apply(hosts("quay.io", "b\n")).Changed), "remove docker.io/hosts.toml")
	w.expect(w.read(docker), "theirs\n")
	w.expect(actions(w.apply(hosts("docker.io", "c\n")).Changed), "adopt docker.io/hosts.toml, remove quay.io/hosts.toml")
	saved := w.restore().Saved
	if len(saved) != 1 || saved[0].Path != quay {
		w.t.Errorf("saved %v", saved)
	}
	w.remove("/var")
	w.same(base)
}
