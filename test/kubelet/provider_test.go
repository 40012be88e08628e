package kubelet

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// asked is a node with our provider and its rules, and a kubelet that asks it.
type asked struct {
	*keyring
	node
	aws *fakeaws.Server
}

// askProvider starts kubelet's code of one version with our provider, after berth applied a
// RegistryConfig; "" is a node without berth. The edits are those of config.
func askProvider(t *testing.T, p part, registries string, edits ...string) asked {
	t.Helper()
	root := t.TempDir()
	a := asked{node: node{runs: filepath.Join(root, "runs")}, aws: startAWS(t)}
	env := nodeEnv(t, a.aws)
	if registries != "" {
		apply(t, root, registries, env)
		a.aws.ForgetCalls()
	}
	// The flags come from the configuration, where an administrator would write them.
	edits = append(edits, "  # args: [--rules, /var/lib/berth/provider.json, --run-dir, /run/berth/tokens]",
		"  args: ["+strings.Join(providerFlags(root), ", ")+"]")
	a.keyring = startKeyring(t, p, config(t, edits...), a.binDir(t), env)
	return a
}

// TestKeyringCaches: kubelet asks once for a registry while the token lasts long, and each time
// when it ends soon.
func TestKeyringCaches(t *testing.T) {
	eachVersion(t, func(t *testing.T, p part) {
		a := askProvider(t, p, "")
		first := a.one(ecrHost + "/app:v1")
		if token, ok := a.aws.Token(first.Password); !ok || token.KeyID != profileKey.ID {
			t.Errorf("a token of %+v, want one by the instance profile", token)
		}
		if again := a.one(ecrHost + "/another@sha256:" + strings.Repeat("0", 64)); again != first {
			t.Error("another token for the same registry")
		}
		if n := a.count(t); n != 1 {
			t.Errorf("the provider was run %d times for one registry, want once", n)
		}
		other := a.one("444455556666.dkr.ecr.us-east-1.amazonaws.com/app")
		if n := a.count(t); n != 2 || other != first {
			t.Errorf("a second registry of the region: run %d times, same token: %t; want a second run with the same token", n, other == first)
		}
		if n := a.aws.Count(fakeaws.ECR, ""); n != 1 {
			t.Errorf("%d calls of ECR, want 1", n)
		}

		short := askProvider(t, p, "")
		short.aws.SetTokenLife(8 * time.Minute)
		for want := 1; want <= 2; want++ {
			short.one(ecrHost + "/app")
			if n := short.count(t); n != want {
				t.Errorf("the provider was run %d times, want %d: a token that ends soon is not kept", n, want)
			}
		}
		noSecret(t, "kubelet's log", a.log(), first.Password)
	})
}

// TestKeyringVersions: the older versions of both APIs.
func TestKeyringVersions(t *testing.T) {
	eachVersion(t, func(t *testing.T, p part) {
		for _, v := range []string{"v1", "v1beta1", "v1alpha1"} {
			a := askProvider(t, p, "",
				"kubelet.config.k8s.io/v1\n", "kubelet.config.k8s.io/"+v+"\n",
				"credentialprovider.kubelet.k8s.io/v1\n", "credentialprovider.kubelet.k8s.io/"+v+"\n")
			if c := a.one(ecrHost + "/app:v1"); c.Username != "AWS" {
				t.Errorf("%s: user name %s", v, c.Username)
			}
		}
	})
}

// TestKeyringDenied: AWS issues no token; kubelet pulls anonymously and logs the reason in one
// line.
func TestKeyringDenied(t *testing.T) {
	eachVersion(t, func(t *testing.T, p part) {
		a := askProvider(t, p, "")
		deny(a.aws, profileKey)
		deny(a.aws, staticKey)
		a.none(ecrHost + "/app")
		checkDenied(t, a.log())
		noSecret(t, "kubelet's log", a.log())

		// kubelet does not cache a failure; we do, for a moment.
		a.none(ecrHost + "/app")
		if n := a.count(t); n != 2 {
			t.Errorf("the provider was run %d times, want 2", n)
		}
	})
}

// TestKeyringLogsWhatAProviderSays: kubelet's log has the stderr of a provider, so that the other
// tests would find a secret there.
func TestKeyringLogsWhatAProviderSays(t *testing.T) {
	const careless = "#!/bin/sh\necho \"keys: $AWS_SECRET_ACCESS_KEY\" >&2\nexit 1\n"
	eachVersion(t, func(t *testing.T, p part) {
		binDir := t.TempDir()
		if err := os.WriteFile(filepath.Join(binDir, "berth-credential-provider"), []byte(careless), 0o755); err != nil {
			t.Fatal(err)
		}
		k := startKeyring(t, p, manifest(configFile), binDir, nodeEnv(t, startAWS(t)))
		k.none(ecrHost + "/app")
		if !strings.Contains(k.log(), canary) {
			t.Errorf("kubelet's log does not hold what the provider said:\n%s", k.log())
		}
	})
}

// checkDenied checks that each line about the failure has the reason, with both sources.
func checkDenied(t *testing.T, log string) {
	t.Helper()
	lines := reasons(log)
	if len(lines) == 0 {
		t.Fatalf("kubelet's log gives no reason:\n%s", log)
	}
	for _, line := range lines {
		for _, part := range []string{"no ECR token for us-east-1", "instance profile", "static", "AccessDenied"} {
			if !strings.Contains(line, part) {
				t.Errorf("%q is not in kubelet's line: %s", part, line)
			}
		}
	}
}

// TestKeyringPaths: a login for a part of a registry is used for that part alone, whatever kubelet
// has cached.
func TestKeyringPaths(t *testing.T) {
	const host = "registry.corp:5000"
	team := credential{"robot", "team-" + canary}
	app := credential{"deploy", "app-" + canary}
	registries := fmt.Sprintf(`registries:
- {host: "%[1]s/team", username: %[2]s, password: %[3]s}
- {host: "%[1]s/team/app", username: %[4]s, password: %[5]s}
`, host, team.Username, team.Password, app.Username, app.Password)
	eachVersion(t, func(t *testing.T, p part) {
		a := askProvider(t, p, registries, "  matchImages:\n", "  matchImages:\n  - "+host+"\n")
		for range 2 { // the second time from kubelet's cache
			for image, want := range map[string]credential{
				"/team/web:v1":     team,
				"/team/app:v1":     app,
				"/team/app/db:v1":  app,
				"/team/app-evil:1": team,
			} {
				if got := a.one(host + image); got != want {
					t.Errorf("%s: login of %s, want %s", image, got.Username, want.Username)
				}
			}
			a.none(host + "/team-evil/web:v1")
			a.none(host + "/other:v1")
			a.none("registry.corp/team/web:v1")
		}
		// Four answers are cached, two are not; kubelet does not ask for the last image.
		if n := a.count(t); n != 4+2*2 {
			t.Errorf("the provider was run %d times, want 8", n)
		}
		noSecret(t, "kubelet's log", a.log())
	})
}

// TestKeyringWithholds: containerd asks a second host, which must not receive the token, so kubelet
// gets no token, and the reason.
func TestKeyringWithholds(t *testing.T) {
	const named = "444455556666.dkr.ecr.us-east-1.amazonaws.com"
	const registries = "mirrors:\n- {upstream: \"*\", endpoints: [{url: mirror.corp}]}\nregistries:\n- {host: " + named + "}\n"
	eachVersion(t, func(t *testing.T, p part) {
		a := askProvider(t, p, registries)
		a.none(ecrHost + "/app")
		lines := reasons(a.log())
		if len(lines) == 0 {
			t.Fatalf("no reason in kubelet's log:\n%s", a.log())
		}
		for _, part := range []string{"withheld", "mirror.corp", "upstreamFallback: false"} {
			if !strings.Contains(lines[0], part) {
				t.Errorf("%q is not in kubelet's line: %s", part, lines[0])
			}
		}
		if n := a.aws.Count(fakeaws.ECR, ""); n != 0 {
			t.Errorf("%d calls of ECR for a token that is withheld", n)
		}
		a.one(named + "/app")
	})
}
