package e2e

import (
	"fmt"

	"github.com/berth-registry/berth/test/e2e/registry"
	"github.com/berth-registry/berth/test/pki"
)

const private = "harbor.corp:8443"

// tlsScenarios: registries whose certificate the machine does not trust, and registries that
// require a client certificate.
func tlsScenarios() []scenario {
	return []scenario{
		{"private-ca", func(s *fixture) {
			r, ca := s.privateRegistry(private, registry.Options{})
			whole := viaHub(fetch{path: "/v2/hub/library/app", img: s.image("hub/"+repo, r)})
			s.apply(mirrorOf("docker.io", "https://"+private+"/hub") +
				fmt.Sprintf("registries:\n- host: %q\n  tls: {caFile: %q}\n", private, s.file("ca.pem", string(ca.PEM()))))
			s.pull(ref, whole.img)
			s.served(r, ok(whole.all())...)
		}},
		{"private-ca-is-needed", func(s *fixture) {
			r, _ := s.privateRegistry(private, registry.Options{})
			s.image(repo, r)
			s.apply(mirrorOf("docker.io", "https://"+private) + only)
			s.pullFails(ref)
			s.served(r)
		}},
		{"private-ca-mirror-only-with-login", func(s *fixture) {
			// Everything is at the root of the file, with the server's keys.
			r, ca := s.privateRegistry(private, registry.Options{Username: robot, Password: password})
			whole := viaHub(fetch{path: "/v2/hub/library/app", img: s.image("hub/"+repo, r)})
			s.apply(mirrorOf("docker.io", private+"/hub") + only + s.login(private) +
				fmt.Sprintf("  tls: {caFile: %q}\n", s.file("ca.pem", string(ca.PEM()))))
			s.pull(ref, whole.img)
			s.served(r, ok(whole.all())...)
		}},
		{"private-ca-at-a-registry-with-login", func(s *fixture) {
			r, ca := s.privateRegistry(private, registry.Options{Username: robot, Password: password})
			whole := fetch{path: "/v2/team/app", tag: "v1", img: s.image("team/app:v1", r)}
			s.apply(s.login(private) + fmt.Sprintf("  tls: {caFile: %q}\n", s.file("ca.pem", string(ca.PEM()))))
			s.pull(private+"/team/app:v1", whole.img)
			s.served(r, ok(whole.all())...)
		}},
		{"client-certificate", func(s *fixture) {
			clients := s.authority("clients")
			r, ca := s.privateRegistry(private, registry.Options{ClientCA: clients})
			whole := viaHub(fetch{img: s.image(repo, r)})
			pair, err := clients.Client("node-1")
			if err != nil {
				s.Fatal(err)
			}
			s.apply(mirrorOf("docker.io", private) + fmt.Sprintf("registries:\n- host: %q\n  tls: {caFile: %q, certFile: %q, keyFile: %q}\n", private,
				s.file("ca.pem", string(ca.PEM())), s.file("node.crt", string(pair.CertPEM)), s.file("node.key", string(pair.KeyPEM))))
			s.pull(ref, whole.img)
			s.served(r, ok(whole.all())...)
		}},
		{"client-certificate-is-needed", func(s *fixture) {
			r, ca := s.privateRegistry(private, registry.Options{ClientCA: s.authority("clients")})
			s.image(repo, r)
			s.apply(mirrorOf("docker.io", private) + only +
				fmt.Sprintf("registries:\n- host: %q\n  tls: {caFile: %q}\n", private, s.file("ca.pem", string(ca.PEM()))))
			s.pullFails(ref)
			s.served(r)
		}},
		certificatesInCertsD("harbor.corp:8443"),
		certificatesInCertsD("harbor.corp_8443_"),
		certificatesInCertsD("_default"),
		{"insecure-skip-verify", func(s *fixture) {
			r, _ := s.privateRegistry(private, registry.Options{})
			whole := viaHub(fetch{img: s.image(repo, r)})
			s.apply(mirrorOf("docker.io", private) + fmt.Sprintf("registries:\n- host: %q\n  tls: {insecureSkipVerify: true}\n", private))
			s.pull(ref, whole.img)
			s.served(r, ok(whole.all())...)
		}},
	}
}

// certificatesInCertsD: a registry is reached with certificates in Docker's layout in a directory
// of certs.d, also after it gets a mirror.
func certificatesInCertsD(dir string) scenario {
	return scenario{"certificates-in-" + dir, func(s *fixture) {
		clients := s.authority("clients")
		r, ca := s.privateRegistry(private, registry.Options{ClientCA: clients})
		pair, err := clients.Client("node-1")
		if err != nil {
			s.Fatal(err)
		}
		for name, content := range map[string][]byte{"ca.crt": ca.PEM(), "client.cert": pair.CertPEM, "client.key": pair.KeyPEM} {
			s.certsFile(dir+"/"+name, content)
		}
		before := fetch{path: "/v2/team/app", tag: "before", img: s.image("team/app:before", r)}
		s.pull(private+"/team/app:before", before.img)
		empty := s.registry(registry.Options{})
		s.apply(mirrorOf(private, "http://"+empty.Addr()))
		after := fetch{path: "/v2/team/app", tag: "after", img: s.image("team/app:after", r)}
		s.pull(private+"/team/app:after", after.img)
		s.served(r, ok(append(before.all(), after.all()...))...)
	}}
}

func (s *fixture) authority(name string) *pki.CA {
	s.Helper()
	ca, err := pki.New(name)
	if err != nil {
		s.Fatal(err)
	}
	return ca
}
