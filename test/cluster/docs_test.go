package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// documented runs the command of docs/kubernetes.md that begins with begin, in the root of the
// repository, with added appended.
func (w *fixture) documented(begin, added string) {
	w.Helper()
	top := filepath.Join("..", "..")
	raw, err := os.ReadFile(filepath.Join(top, "docs", "kubernetes.md"))
	w.check(err)
	for line := range strings.Lines(string(raw)) {
		if !strings.HasPrefix(line, begin) {
			continue
		}
		cmd := exec.CommandContext(w.Context(), "sh", "-c", strings.TrimSpace(line)+" "+added)
		cmd.Dir = top
		cmd.Env = []string{
			"KUBECONFIG=" + w.kubeconfig, "HOME=" + w.dir, "KUBECACHEDIR=" + filepath.Join(w.dir, "kubecache"), "TMPDIR=" + w.dir,
			"PATH=" + w.programs.kubernetes + ":" + filepath.Dir(w.programs.helm) + ":/usr/bin:/bin",
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			w.Errorf("%s: %v\n%s", line, err, out)
		}
		return
	}
	w.Errorf("docs/kubernetes.md has no command %q", begin)
}

// takesManifests makes the API server check the manifests that the test does not install.
func (w *fixture) takesManifests() {
	w.Helper()
	w.documented("kubectl apply -f manifests/berth.yaml", "--dry-run=server --validate=strict")
	setup := w.helm("template", "berth", chart, "-n", namespace, "--is-upgrade", "--set", "nodeSetup.enabled=true,hostNetwork=false,metrics.expose=true")
	file := filepath.Join(w.dir, "setup.yaml")
	w.check(os.WriteFile(file, []byte(setup), 0o600))
	w.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", file)
}
