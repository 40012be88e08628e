package e2e

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/berth-registry/berth/test/e2e/registry"
)

// changeScenarios: the next pull follows the newest config, on a containerd that is not restarted.
// (onEachContainerd checks that at the end; here it is also checked at the moment of the change.)
func changeScenarios() []scenario {
	return []scenario{
		{"changed-config", func(s *fixture) {
			first, second := s.registry(registry.Options{}), s.registry(registry.Options{})
			// One name, two images: the pulled image shows which registry served it.
			old, fresh := viaHub(fetch{img: s.image(repo, first)}), viaHub(fetch{img: s.image(repo, second)})
			before := s.identity(s.T)
			s.apply(mirrorOf("docker.io", first.URL()))
			s.pull(ref, old.img)
			s.apply(mirrorOf("docker.io", second.URL()))
			s.pull(ref, fresh.img)
			s.served(first, ok(old.all())...)
			s.served(second, ok(fresh.all())...)
			if after := s.identity(s.T); after != before {
				s.Errorf("containerd was restarted: it was %s, now it is %s", before, after)
			}
		}},
		{"changed-password", func(s *fixture) {
			old := s.registry(registry.Options{Username: robot, Password: "before"})
			fresh := s.locked()
			config := func(r *registry.Registry, word string) string {
				return mirrorOf("docker.io", r.URL()) + fmt.Sprintf("registries:\n- host: %q\n  username: %s\n  passwordFile: %q\n", r.Addr(), robot, s.file("password", word))
			}
			oldPull, freshPull := viaHub(fetch{img: s.image(repo, old)}), viaHub(fetch{img: s.image(repo, fresh)})
			s.apply(config(old, "before"))
			s.pull(ref, oldPull.img)
			s.apply(config(fresh, password))
			s.pull(ref, freshPull.img)
			s.served(old, ok(oldPull.all())...)
			s.served(fresh, ok(freshPull.all())...)
		}},
		{"mirror-taken-out", func(s *fixture) {
			up := s.hubServes()
			r := s.registry(registry.Options{})
			s.apply(mirrorOf("docker.io", r.URL()) + only)
			s.pullFails(ref)
			s.apply("mirrors: []\n")
			s.pull(ref, up.img)
			s.asked(s.decoys[hub], up.all()...)
			s.served(r, viaHub(up).resolve()+" 404")
		}},
		{"plan-and-apply", func(s *fixture) {
			r := s.registry(registry.Options{})
			whole := viaHub(fetch{img: s.image(repo, r)})
			s.writeConfig(mirrorOf("docker.io", r.URL()))
			s.run(1, "plan", "--config", s.config)
			if entries, err := os.ReadDir(s.root); err != nil || len(entries) > 0 {
				s.Errorf("plan wrote %v (%v)", entries, err)
			}
			s.run(0, "apply", "--config", s.config)
			s.run(0, "plan", "--config", s.config)
			s.pull(ref, whole.img)
			s.served(r, ok(whole.all())...)
		}},
		{"restore", func(s *fixture) {
			up := s.hubServes()
			r := s.registry(registry.Options{})
			mirrored := viaHub(fetch{img: s.image(repo, r)})
			s.apply(mirrorOf("docker.io", r.URL()))
			s.pull(ref, mirrored.img)
			s.asked(s.decoys[hub])
			s.run(0, "restore")
			if left, err := os.ReadDir(filepath.Join(s.root, "etc")); err == nil {
				s.Errorf("restore left %v below /etc, which was not there before", left)
			}
			s.pull(ref, up.img)
			s.asked(s.decoys[hub], up.all()...)
			s.served(r, ok(mirrored.all())...)
		}},
		{"restore-of-a-foreign-mirror", func(s *fixture) {
			foreign, ours := s.registry(registry.Options{}), s.registry(registry.Options{})
			before, during := viaHub(fetch{img: s.image(repo, foreign)}), viaHub(fetch{img: s.image(repo, ours)})
			content := fmt.Sprintf("# a foreign file\nserver = %q\n[host]\n", foreign.URL())
			s.hosts("docker.io", content)
			s.apply(mirrorOf("docker.io", ours.URL()) + "containerd: {onConflict: adopt}\n")
			s.pull(ref, during.img)
			s.run(0, "restore")
			s.pull(ref, before.img)
			s.served(ours, ok(during.all())...)
			s.served(foreign, ok(before.all())...)
			if got, err := os.ReadFile(filepath.Join(s.root, certsDir, "docker.io/hosts.toml")); err != nil || string(got) != content {
				s.Errorf("after restore: %q (%v), want %q", got, err, content)
			}
		}},
	}
}
