package cluster

import (
	"path/filepath"
	"strings"

	"github.com/berth-registry/berth/test/fakes/ecrstandin"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

const (
	account = "111122223333"
	// ecrHost is named in the config: its token is in hosts.toml.
	ecrHost = account + ".dkr.ecr.us-east-1.amazonaws.com"
	// otherECRHost is not: kubelet asks the provider.
	otherECRHost = "444455556666.dkr.ecr.us-east-1.amazonaws.com"

	// Where the chart puts them.
	providerDir    = "/usr/local/libexec/berth"
	providerConfig = "/etc/berth/credential-provider-config.yaml"
)

// providerConfiguration returns a file of Berth with the node's directory before the paths in it.
func (w *fixture) providerConfiguration(file []byte) string {
	w.Helper()
	const line = "  # args: [--rules, /var/lib/berth/provider.json, --run-dir, /run/berth/tokens]"
	text := string(file)
	if !strings.Contains(text, line) {
		w.Fatalf("the configuration has no line %q", line)
	}
	args := "  args: [--root, " + w.root + ", --rules, " + filepath.Join(w.root, "var/lib/berth/provider.json") + ", --run-dir, " + filepath.Join(w.root, "run/berth/tokens") + "]"
	return strings.Replace(text, line, args, 1)
}

// restartKubelet restarts kubelet with these flags, and waits until it manages its pods again.
func (w *fixture) restartKubelet(providerConfig, providerBinDir string) {
	w.Helper()
	w.check(w.kubelet.Stop(w.Context()))
	seen := len(w.kubelet.Log())
	w.startKubelet(providerConfig, providerBinDir)
	w.until("kubelet is back", func() error {
		if !strings.Contains(w.kubelet.Log()[seen:], "Successfully registered node") {
			return errNotYet
		}
		return nil
	})
}

// letIn checks that this many pulls brought a token that ECR accepts, and that no pull brought
// another one. Requests without a login do not count, because containerd sends kubelet's only after
// a challenge.
func (w *fixture) letIn(pulls int) {
	w.Helper()
	manifests := map[string]bool{}
	for _, r := range w.ecr.Requests() {
		if !r.ByContainerd() {
			continue
		}
		switch r.Verdict {
		case ecrstandin.LetIn:
			if strings.Contains(r.Path, "/manifests/") && strings.Contains(r.Path, "sha256") {
				manifests[r.Path] = true
			}
		case ecrstandin.NoLogin:
			if pulls == 1 {
				w.Errorf("with a header there is no request without a login: %s", r)
			}
		default:
			w.Errorf("%s", r)
		}
	}
	if len(manifests) != pulls {
		w.Errorf("%d pulls were let in, want %d: %v", len(manifests), pulls, w.ecr.Requests())
	}
	if n := w.aws.Count(fakeaws.ECR, ""); n != 1 {
		w.Errorf("%d calls of ECR for a token, want 1 for both channels", n)
	}
}
