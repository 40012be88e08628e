package redact

import "testing"

func TestMaybeSecret(t *testing.T) {
	for _, name := range []string{
		"", "docker.io", "registry.k8s.io", "111122223333.dkr.ecr.us-east-1.amazonaws.com", "/etc/containerd/certs.d",
		"/var/lib/rancher/k3s/agent/etc/containerd/certs.d", "mirror.corp:5000/team/library", "endpoint", "allowPlainHTTPCredentials",
		"X-JFrog-Art-Api", "/tmp/TestBad_registries3454362/001/secrets/registry-com", "https://[2001:db8::1]:5000", "kubernetes.default.svc",
	} {
		if MaybeSecret(name) {
			t.Errorf("%q is taken for a secret", name)
		}
	}
	for _, secret := range []string{
		"cHVsbGVyOmh1bnRlcjI=", "cHVsbGVyOmh1bnRlcjI", "Basic cHVsbGVyOmh1bnRlcjI=", "https://cHVsbGVyOmh1bnRlcjI.corp",
		"/bPxRfiCYwJalrXUtn/K7MDENGFEMI", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "dckr_pat_7awgM4jG5SQvxcvmNzhKj8PQjxo",
		"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", "aaaaOmFhYQ==",
	} {
		if !MaybeSecret(secret) {
			t.Errorf("%q is not taken for a secret", secret)
		}
	}
}

func TestAddress(t *testing.T) {
	for written, want := range map[string]string{
		"docker.io":                        "docker.io",
		"docker.io/library":                "docker.io/library",
		"https://mirror:5000/hub":          "https://mirror:5000/hub",
		"localhost:5000":                   "localhost:5000",
		"10.0.0.1:5000":                    "10.0.0.1:5000",
		"2001:db8::1":                      "2001:db8::1",
		"https://u:hunter2@x.corp":         "https://[redacted]@x.corp",
		"u:hunter/2@x.corp":                "[redacted]@x.corp",
		"https://x?token=hunter2":          "https://x?[redacted]",
		"hunter2":                          "",
		"hun.ter2":                         "",
		"user:12345":                       "",
		"https://u:hunter2":                "",
		"https://hunter2/":                 "",
		"https://mirror":                   "https://mirror",
		"p@ssw0rd":                         "",
		"https://u:p@ssw0rd":               "",
		"https://u:p?ss@word.corp":         "",
		"x.corp?a=b@hunter2.corp":          "",
		"a.corp password:hunter2":          "",
		"https://a.corp,password=hunter2":  "",
		"https://cHVsbGVyOmh1bnRlcjI.corp": "",
		"a.corp/cHVsbGVyOmh1bnRlcjI=":      "",
	} {
		if got := Address(written); got != want {
			t.Errorf("Address(%q) = %q, want %q", written, got, want)
		}
	}
}
