package kubelet

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// forms returns host names of ECR, one of each form, and the region of the token for each, in the
// order of the patterns in credential-provider-config.yaml.
func forms() [][2]string {
	return [][2]string{
		{account + ".dkr.ecr.us-east-1.amazonaws.com", "us-east-1"},
		{account + ".dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"},
		{account + ".dkr-ecr.eu-west-1.on.aws", "eu-west-1"},
		{account + ".dkr-ecr-fips.us-west-2.on.aws", "us-west-2"},
		{account + ".dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"},
		{account + ".dkr.ecr-fips.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"},
		{account + ".dkr-ecr.cn-northwest-1.on.amazonwebservices.com.cn", "cn-northwest-1"},
		{account + ".dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"},
		{account + ".dkr.ecr-fips.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"},
		{account + ".dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"},
		{account + ".dkr.ecr-fips.us-iso-west-1.c2s.ic.gov", "us-iso-west-1"},
		{account + ".dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"},
		{account + ".dkr.ecr-fips.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"},
		{account + ".dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"},
		{account + ".dkr.ecr-fips.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"},
		{account + ".dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"},
		{account + ".dkr.ecr-fips.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"},
		{"public.ecr.aws", "us-east-1"},
		{"ecr-public.aws.com", "us-east-1"},
	}
}

const (
	configFile = "credential-provider-config.yaml"
	configDir  = "credential-providers.d"
)

// patterns reads the list of matchImages from a configuration.
func patterns(t *testing.T, file string) []string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(raw), "  matchImages:\n")
	if !ok {
		t.Fatalf("%s has no matchImages", file)
	}
	var all []string
	for line := range strings.Lines(list) {
		item, ok := strings.CutPrefix(line, "  - ")
		if !ok {
			return all
		}
		all = append(all, strings.Trim(item, "\"\n"))
	}
	return all
}

// TestPatternsAreNeeded: every pattern matches one form and every form is matched by one pattern,
// compared label by label as in kubelet.
func TestPatternsAreNeeded(t *testing.T) {
	all := patterns(t, manifest(configFile))
	if len(all) != len(forms()) {
		t.Fatalf("%d patterns, %d forms", len(all), len(forms()))
	}
	for i, form := range forms() {
		glob, host := strings.Split(all[i], "."), strings.Split(form[0], ".")
		ok := len(glob) == len(host)
		for l := 0; ok && l < len(glob); l++ {
			match, err := path.Match(glob[l], host[l])
			ok = match && err == nil
		}
		if !ok {
			t.Errorf("%s does not fit %s", all[i], form[0])
		}
	}
}

// TestOneConfiguration: the two files are equal after their first comments.
func TestOneConfiguration(t *testing.T) {
	var bodies [2][]byte
	for i, name := range []string{configFile, configDir + "/berth.yaml"} {
		raw, err := os.ReadFile(manifest(name))
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(raw, []byte("apiVersion:"))
		if at < 0 {
			t.Fatalf("%s has no apiVersion", name)
		}
		bodies[i] = raw[at:]
	}
	if !bytes.Equal(bodies[0], bodies[1]) {
		t.Errorf("%s and %s differ", configFile, configDir)
	}
}

// TestKeyringAcceptsConfiguration: kubelet loads the files unchanged and asks the provider for
// every form of an ECR name, and for nothing else.
func TestKeyringAcceptsConfiguration(t *testing.T) {
	eachVersion(t, func(t *testing.T, p part) {
		configs := []string{manifest(configFile)}
		if readsDirectories(t, p) {
			configs = append(configs, manifest(configDir))
		}
		for _, config := range configs {
			t.Run(filepath.Base(config), func(t *testing.T) {
				aws := startAWS(t)
				dir := t.TempDir()
				// The file does not name the token directory, and this machine must not hold
				// tokens.
				n := node{args: providerFlags(dir), runs: filepath.Join(dir, "runs")}
				k := startKeyring(t, p, config, n.binDir(t), nodeEnv(t, aws))
				for _, form := range forms() {
					c := k.one(form[0] + "/team/app:v1")
					token, ok := aws.Token(c.Password)
					if !ok || c.Username != "AWS" || token.Region != form[1] {
						t.Errorf("%s: %s with a token of %+v", form[0], c.Username, token)
					}
					public := strings.Contains(form[0], "public")
					if public != (token.Service == fakeaws.ECRPublic) {
						t.Errorf("%s: a token of %s", form[0], token.Service)
					}
				}
				// This name matches a pattern and has no account: kubelet asks.
				before := n.count(t)
				k.none("evil" + ecrHost[12:] + "/app")
				if n := n.count(t); n != before+1 {
					t.Errorf("the provider was run %d times, want once", n-before)
				}
				for _, image := range []string{
					"nginx", "docker.io/library/nginx", "quay.io/a/b", "registry.k8s.io/pause:3.10",
					ecrHost + ".evil.com/app", "public.ecr.aws.evil.com/app", "a.public.ecr.aws/app",
					ecrHost + ":8443/app",
				} {
					k.none(image)
				}
				if n := n.count(t); n != before+1 {
					t.Errorf("the provider was run %d times for images that are not of ECR\n%s", n-before-1, k.log())
				}
			})
		}
	})
}

// TestKeyringRefuses: the way in which these tests see that a file is accepted can fail.
func TestKeyringRefuses(t *testing.T) {
	raw, err := os.ReadFile(manifest(configFile))
	if err != nil {
		t.Fatal(err)
	}
	eachVersion(t, func(t *testing.T, p part) {
		binDir := (&node{instead: "/bin/true", runs: filepath.Join(t.TempDir(), "runs")}).binDir(t)
		for name, c := range map[string]struct{ from, to, reason string }{
			"no-patterns":     {"  matchImages:", "  matchImages: []\n  args:", "matchImages"},
			"no-duration":     {"  defaultCacheDuration: 0s", "", "defaultCacheDuration"},
			"unknown-version": {"credentialprovider.kubelet.k8s.io/v1", "credentialprovider.kubelet.k8s.io/v9", "v9"},
		} {
			bad := bytes.Replace(raw, []byte(c.from), []byte(c.to), 1)
			if got := refused(t, p, write(t, name+".yaml", bad), binDir); !strings.Contains(got, c.reason) {
				t.Errorf("%s: %s", name, got)
			}
		}
		if got := refused(t, p, manifest(configFile), t.TempDir()); !strings.Contains(got, "did not exist") {
			t.Errorf("without the binary: %s", got)
		}
		if !readsDirectories(t, p) {
			refused(t, p, manifest(configDir), binDir)
		}
	})
}

// readsDirectories reports whether this version of kubelet accepts a directory of configurations:
// since 1.34.
func readsDirectories(t *testing.T, p part) bool {
	t.Helper()
	minor, err := strconv.Atoi(strings.Split(p.version, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return minor >= 34
}
