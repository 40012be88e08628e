package install_test

import (
	"context"
	"strings"
	"testing"

	"github.com/berth-registry/berth/node/install"
)

// TestServiceAccountTokens: kubelet passes tokens when it is asked to, also on a node that is
// installed already, and not where its release does not know them.
func TestServiceAccountTokens(t *testing.T) {
	const config = "/etc/berth/credential-provider-config.yaml"
	b := makeBed(t, "debian-kubeadm")
	b.install()
	if strings.Contains(b.read(config), "\n  tokenAttributes:") {
		t.Errorf("no option asked for tokens:\n%s", b.read(config))
	}
	b.o.RoleAnnotations = []string{"corp/role"}
	m := b.Machine()
	for version, refused := range map[string]bool{"Kubernetes v1.33.9\n": true, "Kubernetes v1.34.0\n": false, "unknown": false} {
		m.Version = func(context.Context, string) (string, error) { return version, nil }
		in, err := install.New(m, b.o)
		if err != nil {
			t.Fatal(err)
		}
		p, err := in.Install(t.Context(), install.Parts{Kubelet: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Err(); (err != nil) != refused || refused && !strings.Contains(err.Error(), "1.33") {
			t.Errorf("%q: %v", version, err)
		}
	}
	b.install()
	if text := b.read(config); !strings.Contains(text, "\n  tokenAttributes:\n    serviceAccountTokenAudience: \"sts.amazonaws.com\"\n") || !strings.Contains(text, `- "corp/role"`) {
		t.Errorf("no tokens:\n%s", text)
	}
	b.wired()
	b.uninstall()
	b.asBefore()
}
