//go:build e2e

package docker

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/berth-registry/berth/test/fakes/upstream"
)

// rkeScenarios: a node of RKE 1, whose cluster.yml becomes the RegistryConfig, and whose registry
// has its certificate where RKE asked for it: in Docker's own directory. As a mirror of Docker Hub it
// needs the certificate in the config, as docs/docker.md says.
func rkeScenarios() []scenario {
	return []scenario{{"node-of-rke", func(s *fixture) {
		c, img := s.stocked(repo)
		own := s.image("team/app:v1", c)
		d, ca := s.private(private, nil, upstream.Basic(robot, password, c))
		s.keep(robot, password, d)
		s.certsFile(private+"/ca.crt", ca.PEM())
		cluster := filepath.Join(s.TempDir(), "cluster.yml")
		must(s.T, os.WriteFile(cluster, fmt.Appendf(nil,
			"nodes: []\nprivate_registries:\n- {url: %q, user: %s, password: %q, is_default: true}\n",
			private, robot, password), 0o600))
		convert := exec.CommandContext(s.Context(), berthBinary(s.T), "convert", "--from", "rke", cluster)
		config, err := convert.Output()
		must(s.T, err)
		authority := filepath.Join(s.TempDir(), "ca.crt")
		must(s.T, os.WriteFile(authority, ca.PEM(), 0o600))
		// The registry is the last entry of the file.
		config = fmt.Appendf(config, "  tls: {caFile: %q}\n", authority)
		must(s.T, os.WriteFile(s.configFile(), config, 0o600))
		s.berth(0, "apply", "--config", s.configFile())
		s.pull(ref, img) // an image without a registry in its name
		s.served(d, img)
		s.pull(private+"/team/app:v1", own)
		s.served(d, own)
	}}}
}
