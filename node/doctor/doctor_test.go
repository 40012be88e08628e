package doctor_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"go.uber.org/goleak"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/doctor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed makes a node from a txtar archive: root/, proc/ and sys/, and a config in config.yaml. Files
// have mode 0600; those below a directory "open" are readable by all.
func bed(t *testing.T, archive string) doctor.Input {
	t.Helper()
	dir := t.TempDir()
	p := doctor.Input{ConfigErr: &fs.PathError{Op: "open", Path: "config.yaml", Err: fs.ErrNotExist}, ConfigFile: "config.yaml", Now: time.Now}
	p.Getenv = func(name string) string {
		if name == "AWS_EC2_METADATA_SERVICE_ENDPOINT" {
			return "http://127.0.0.1:1"
		}
		return ""
	}
	if err := os.MkdirAll(filepath.Join(dir, "root"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		data := strings.ReplaceAll(string(f.Data), "$DIR", dir)
		switch {
		case f.Name == "config.yaml":
			var err error
			if p.Config, p.Warnings, err = config.Parse(f.Name, []byte(data)); err != nil {
				t.Fatal(err)
			}
			continue
		case strings.HasPrefix(f.Name, "proc/"):
			p.Machine.Proc = filepath.Join(dir, "proc")
		case strings.HasPrefix(f.Name, "sys/"):
			p.Sys = filepath.Join(dir, "sys")
		}
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if base := filepath.Base(name); base == "cmdline" || base == "environ" {
			data = strings.ReplaceAll(data, "\n", "\x00")
		}
		mode := os.FileMode(0o600)
		if strings.Contains(f.Name, "open") {
			mode = 0o644
		}
		if strings.HasPrefix(data, "#!") {
			mode = 0o755
		}
		if err := errors.Join(os.WriteFile(name, []byte(data), 0o600), os.Chmod(name, mode)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := nodefs.OpenRoot(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	p.Machine.Root = root
	return p
}

const running = `
-- proc/stat --
cpu 1
btime 4000000000
-- proc/7/stat --
7 (containerd) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 9 0 1000 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
-- proc/7/comm --
containerd
-- proc/7/cmdline --
/usr/bin/containerd
-- proc/7/cgroup --
0::/system.slice/containerd.service
-- proc/7/environ --
HOME=/
SECRET=not-told
-- root/etc/containerd/config.toml --
version = 2
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "/etc/containerd/certs.d"
`

const mirrorConfig = `
-- config.yaml --
apiVersion: berth/v1alpha1
kind: RegistryConfig
mirrors:
- upstream: docker.io
  endpoints: [{url: https://mirror.corp}]
`

// find returns the findings of one check.
func find(all []doctor.Finding, name string) []doctor.Finding {
	var found []doctor.Finding
	for _, f := range all {
		if f.Name == name {
			found = append(found, f)
		}
	}
	return found
}

const bothPrograms = "-- root/bin/berth-credential-provider --\n#!/bin/sh\n-- root/bin/berth-ecr-token --\n#!/bin/sh\n"

// The two programs of the provider must be of one version. Each is run once.
func TestVersionsOfTheProvider(t *testing.T) {
	for provider, c := range map[string]struct {
		level  doctor.Level
		detail string
	}{
		"v2": {doctor.OK, "kubelet asks berth-credential-provider"},
		"v1": {doctor.Warn, "berth-credential-provider in /bin is of version v1, and berth-ecr-token beside it of version v2; kubelet gets no new ECR token"},
		"":   {doctor.Warn, "/bin/berth-credential-provider --version: it is for another machine"},
	} {
		p := bed(t, running+kubelet(bothFlags)+providerConfig("berth-credential-provider")+bothPrograms)
		runs := map[string]int{}
		p.Machine.Version = func(_ context.Context, binary string) (string, error) {
			switch name := filepath.Base(binary); name {
			case "berth-ecr-token":
				runs[name]++
				return name + " v2\n", nil
			case "berth-credential-provider":
				runs[name]++
				if provider == "" {
					return "", errors.New("it is for another machine")
				}
				return name + " " + provider + "\n", nil
			}
			return "", errors.New("no containerd")
		}
		found := find(doctor.Examine(t.Context(), p), "kubelet")
		if len(found) != 1 || found[0].Level != c.level || !strings.Contains(found[0].Detail, c.detail) {
			t.Errorf("%q: %+v", provider, found)
		}
		if len(runs) != 2 || runs["berth-ecr-token"] != 1 || runs["berth-credential-provider"] != 1 {
			t.Errorf("%q: runs %v", provider, runs)
		}
	}
}

func TestExamine(t *testing.T) {
	const certs = "-- root/etc/containerd/certs.d/"
	for _, test := range []struct {
		name, archive string
		check         string
		level         doctor.Level
		says, do      string
	}{
		{"no config", running, "config", doctor.Warn, "there is no config.yaml", "write a RegistryConfig"},
		{"a config", running + mirrorConfig, "config", doctor.OK, "config.yaml is valid", ""},
		{"no configuration file", strings.Split(running, "-- root/")[0], "containerd", doctor.OK, "process 7, with its defaults, because there is no /etc/containerd/config.toml", ""},
		{"what runs", running, "containerd", doctor.OK, "process 7, configured by /etc/containerd/config.toml", ""},
		{"nothing runs", "-- proc/stat --\n-- root/etc/containerd/config.toml --\n", "containerd", doctor.Warn, "no containerd runs here", "start it"},
		{"the processes cannot be seen", "-- root/etc/containerd/config.toml --\n", "containerd", doctor.OK, "configured by /etc/containerd/config.toml", ""},
		{"none is installed", "-- proc/stat --\n", "containerd", doctor.Fail, "no containerd was found: no process, no service, no configuration", "install it first"},
		{"honoured", running, "config-path", doctor.OK, "hosts.toml files are read from /etc/containerd/certs.d", ""},
		{"not honoured", "-- root/etc/containerd/config.toml --\nversion = 2\n", "config-path", doctor.Fail, "config_path is not set", "berth install --containerd"},
		{
			"not honoured, and install cannot help", "-- root/etc/containerd/config.toml --\ndisabled_plugins = ['x']\n", "config-path", doctor.Fail, "config_path is not set",
			`set config_path by hand: no change of one key makes containerd honour it: the version of containerd is unknown, and 1.x and 2.x read a file without "version =" differently`,
		},
		{
			"changed since the start", strings.Replace(running, "4000000000", "1000000000", 1), "config-path", doctor.Warn,
			"was changed after containerd was started", "systemctl restart containerd.service",
		},
		{
			"changed since kubelet's start", strings.Replace(running, "4000000000", "1000000000", 1) + kubelet(bothFlags) + kubeletStat + providerConfig("x"), "kubelet", doctor.Warn,
			"/p.yaml was changed after kubelet was started", "restart kubelet",
		},
		{
			"kubelet was not restarted", running + kubelet("") + "-- root/etc/systemd/system/kubelet.service --\n[Service]\nExecStart=/usr/bin/kubelet --image-credential-provider-config=/p.yaml\n",
			"kubelet", doctor.Warn, "was started before its unit named a credential provider", "restart kubelet",
		},
		{
			"another directory", running + strings.Replace(mirrorConfig, "mirrors:", "containerd: {certsDir: /srv/certs.d}\nmirrors:", 1), "certs-dir", doctor.Fail,
			"Berth writes to /srv/certs.d, and containerd reads /etc/containerd/certs.d", "certsDir: /etc/containerd/certs.d",
		},
		{"no directory yet", running, "hosts", doctor.Warn, "is missing, so no mirror", "berth apply"},
		{
			"all is well", running + certs + "docker.io/hosts.toml --\nserver = \"https://a\"\n\n[host]\n" + certs + "_default/hosts.toml --\n[host.\"https://b\"]\n" + certs + "_berth/ca.pem --\n",
			"hosts", doctor.OK, "reads every directory below /etc/containerd/certs.d (2)", "",
		},
		{"read by nobody", "-- root/etc/containerd/config.toml --\nversion = 2\n" + certs + "docker.io/hosts.toml --\n[host]\n", "hosts", doctor.Warn, "containerd does not read it", "config-path"},
		{"passed over", running + certs + "docker.io/hosts.toml --\nserver = https\n", "hosts", doctor.Fail, "docker.io: containerd ignores hosts.toml", "by hand"},
		{
			"a certificate that is gone", running + certs + "quay.io/hosts.toml --\n[host.\"https://a\"]\nca = \"gone.pem\"\n",
			"hosts", doctor.Fail, "every pull from quay.io fails", "create the file",
		},
		{
			"a directory that hides _default", running + certs + "quay.io/README --\n" + certs + "_default/hosts.toml --\n[host.\"https://b\"]\n",
			"hosts", doctor.Warn, "quay.io has no hosts.toml, and still keeps containerd from using _default for quay.io", "remove the directory",
		},
		{
			"two spellings", running + certs + "r.corp_5000_/hosts.toml --\n[host]\n" + certs + "r.corp:5000/hosts.toml --\n[host]\n",
			"hosts", doctor.Warn, "r.corp:5000 is not read", "remove one",
		},
		{
			"files of mode 0600", running + certs + "docker.io/hosts.toml --\n" + certs + "ghcr.io/hosts.toml --\nserver = \"https://ghcr.io\"\n[header]\nAuthorization = \"Basic not-told\"\n[host]\n" +
				"-- root/var/lib/berth/provider.json --\n{}\n", "permissions", doctor.OK, "no file with a secret can be read", "",
		},
		{"no kubelet", running, "kubelet", doctor.OK, "no kubelet was found", ""},
		{"a kubelet without a provider", running + kubelet(""), "kubelet", doctor.OK, "has no credential provider", ""},
		{"one flag of two", running + kubelet("--image-credential-provider-config=/p.yaml"), "kubelet", doctor.Fail, "needs both", "set both"},
		{
			"our provider", running + kubelet(bothFlags) + providerConfig("berth-credential-provider") + bothPrograms,
			"kubelet", doctor.OK, "kubelet asks berth-credential-provider", "",
		},
		{
			"our provider, a registry that it is not asked about", running + kubelet(bothFlags) + providerConfig("berth-credential-provider") + bothPrograms + tokenConfig,
			"kubelet", doctor.Warn, "kubelet does not ask berth-credential-provider about ghcr.io", "berth install --kubelet",
		},
		{
			"our provider, and it is asked", running + kubelet(bothFlags) + providerConfig("berth-credential-provider") + "  matchImages: [\"*.io\"]\n" + bothPrograms + tokenConfig,
			"kubelet", doctor.OK, "kubelet asks berth-credential-provider", "",
		},
		{
			"our provider without the program that asks AWS", running + kubelet(bothFlags) + providerConfig("berth-credential-provider") + "-- root/bin/berth-credential-provider --\n#!/bin/sh\n",
			"kubelet", doctor.Warn, "/bin/berth-ecr-token: is missing; berth-credential-provider of this release starts it to ask AWS", "copy both programs there from one release",
		},
		{
			"no token of the pod", running + kubelet(bothFlags) + providerConfig("berth-credential-provider") + bothPrograms + podRoleConfig,
			"kubelet", doctor.Warn, "kubelet passes no token of the pod's service account to berth-credential-provider, by /p.yaml", "berth install --kubelet --service-account-tokens",
		},
		{
			"a token of the pod", running + kubelet(bothFlags) + providerConfig("berth-credential-provider") + tokenAttributes("optional", "eks.amazonaws.com/ecr-role-arn") + bothPrograms + podRoleConfig,
			"kubelet", doctor.OK, "kubelet asks berth-credential-provider, by /p.yaml", "",
		},
		{
			"a token of the pod with a required annotation", running + kubelet(bothFlags) + providerConfig("berth-credential-provider") + tokenAttributes("required", "eks.amazonaws.com/ecr-role-arn") + bothPrograms + podRoleConfig,
			"kubelet", doctor.OK, "kubelet asks berth-credential-provider, by /p.yaml", "",
		},
		{
			"a token of the pod without the annotation", running + kubelet(bothFlags) + providerConfig("berth-credential-provider") + tokenAttributes("optional", "other") + bothPrograms + podRoleConfig,
			"kubelet", doctor.Warn, "without the annotation eks.amazonaws.com/ecr-role-arn, by /p.yaml", "berth install --kubelet --service-account-tokens",
		},
		{
			"a token of the pod that the config does not need", running + kubelet(bothFlags) + providerConfig("berth-credential-provider") + tokenAttributes("optional", "eks.amazonaws.com/ecr-role-arn") + bothPrograms,
			"kubelet", doctor.OK, "pods without a role get no credential for ECR", "",
		},
		{"no provider, and roles of pods", running + kubelet("") + podRoleConfig, "kubelet", doctor.Warn, "no pod pulls with its own role", "berth install --kubelet --service-account-tokens"},
		{"no provider, and a login for tokens", running + kubelet("") + tokenConfig, "kubelet", doctor.Warn, "kubelet has no credential provider, and the login of ghcr.io", "berth install --kubelet"},
		{
			"another provider", running + kubelet(bothFlags) + providerConfig("ecr-credential-provider") + "-- root/bin/ecr-credential-provider --\n#!/bin/sh\n",
			"kubelet", doctor.OK, "asks ecr-credential-provider by /p.yaml, and not Berth", "",
		},
		{"a provider that is gone", running + kubelet(bothFlags) + providerConfig("berth-credential-provider"), "kubelet", doctor.Fail, "/bin/berth-credential-provider: is missing", "before kubelet is restarted"},
		{"a provider that cannot run", running + kubelet(bothFlags) + providerConfig("x") + "-- root/bin/x --\n", "kubelet", doctor.Fail, "has mode 0600", "restarted"},
		{"a name that leads elsewhere", running + kubelet(bothFlags) + providerConfig("../x"), "kubelet", doctor.Fail, "must be the file name of a program", "fix it"},
		{"no configuration", running + kubelet(bothFlags), "kubelet", doctor.Fail, "p.yaml", "fix it"},
		{"a configuration of another kind", running + kubelet(bothFlags) + "-- root/p.yaml --\nkind: Pod\n", "kubelet", doctor.Fail, "is not a CredentialProviderConfig", "fix it"},
		{"a directory of configurations", running + kubelet(strings.Replace(bothFlags, "/p.yaml", "/p.d", 1)) + strings.Replace(providerConfig("y"), "root/p.yaml", "root/p.d/10.yaml", 1) + "-- root/bin/y --\n#!\n", "kubelet", doctor.OK, "asks y by /p.d", ""},
		{"tokens are not needed", running + mirrorConfig, "tokens", doctor.OK, "names no ECR registry", ""},
		{"no token", running + ecrConfig, "tokens", doctor.Warn, "no valid token for ecr in us-east-1", "berth credentials 111122223333.dkr.ecr.us-east-1.amazonaws.com"},
		{"no metadata service", running + ecrConfig, "metadata", doctor.Warn, "there is no metadata service", "static keys"},
		{
			"no metadata service, and static keys", running + ecrConfig + "ecr: {credentials: [{instanceProfile: {}}, {static: {accessKeyID: AKIAX, secretAccessKey: not-told}}]}\n",
			"metadata", doctor.Warn, "there is no metadata service", "the other sources of the config are used after it",
		},
		{"no metadata service needed", running + mirrorConfig, "metadata", doctor.OK, "not needed", ""},
		{"this is EC2", running + "-- sys/class/dmi/id/sys_vendor --\nAmazon EC2\n", "metadata", doctor.OK, "there is no metadata service", ""},
		{"no proxy", running, "proxy", doctor.OK, "neither", ""},
		{
			"a proxy of containerd alone", strings.Replace(running, "SECRET=not-told", "HTTPS_PROXY=http://u:not-told@proxy:3128\nno_proxy=a, b", 1) + mirrorConfig, "proxy", doctor.Warn,
			"differ in the proxy for https, no", "proxy: in the config",
		},
		{
			"the same proxy", strings.Replace(running, "SECRET=not-told", "https_proxy=http://u:not-told@proxy:3128/\nNO_PROXY=a, b", 1) +
				strings.Replace(mirrorConfig, "mirrors:", "proxy: {httpsProxy: \"http://u:not-told@proxy:3128\", noProxy: \"a,b\"}\nmirrors:", 1), "proxy", doctor.OK, "the same proxy", "",
		},
		{"SELinux in force", "-- sys/fs/selinux/enforce --\n1\n", "selinux", doctor.OK, "enforcing", "spc_t"},
		{"SELinux permissive", "-- sys/fs/selinux/enforce --\n0\n", "selinux", doctor.OK, "permissive", ""},
		{"no SELinux", running, "selinux", doctor.OK, "not in use", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			all := doctor.Examine(t.Context(), bed(t, test.archive))
			for _, f := range all {
				if strings.Contains(f.Detail+f.Remedy, "not-told") {
					t.Errorf("a secret is told: %+v", f)
				}
			}
			found := find(all, test.check)
			for _, f := range found {
				if f.Level == test.level && strings.Contains(f.Detail, test.says) && strings.Contains(f.Remedy, test.do) {
					return
				}
			}
			t.Errorf("%+v", found)
		})
	}
}

// A config that the user named must exist.
func TestNamedConfig(t *testing.T) {
	p := bed(t, running)
	p.ConfigNamed = true
	found := find(doctor.Examine(t.Context(), p), "config")
	if len(found) != 1 || found[0].Level != doctor.Fail || found[0].Detail != "there is no config.yaml" {
		t.Errorf("%+v", found)
	}
}

// A node without containerd gets no advice to wire it.
func TestNoContainerd(t *testing.T) {
	for _, f := range doctor.Examine(t.Context(), bed(t, "-- proc/stat --\n"+mirrorConfig)) {
		if f.Name == "config-path" || strings.Contains(f.Remedy, "install --containerd") {
			t.Errorf("%+v", f)
		}
	}
}

const bothFlags = "--image-credential-provider-config=/p.yaml\n--image-credential-provider-bin-dir\n/bin"

func kubelet(flags string) string {
	return "-- proc/9/comm --\nkubelet\n-- proc/9/cmdline --\n/usr/bin/kubelet\n" + flags + "\n"
}

const kubeletStat = "-- proc/9/stat --\n9 (kubelet) S 1 9 9 0 -1 0 0 0 0 0 0 0 0 0 20 0 9 0 2000 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"

func providerConfig(name string) string {
	return "-- root/p.yaml --\napiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: " + name + "\n"
}

// tokenAttributes belong to the entry of providerConfig.
func tokenAttributes(list, annotation string) string {
	return "  tokenAttributes:\n    serviceAccountTokenAudience: sts.amazonaws.com\n    cacheType: ServiceAccount\n    requireServiceAccount: false\n    " +
		list + "ServiceAccountAnnotationKeys: [" + annotation + "]\n"
}

const podRoleConfig = `
-- config.yaml --
apiVersion: berth/v1alpha1
kind: RegistryConfig
ecr: {serviceAccount: {}}
`

const tokenConfig = `
-- config.yaml --
apiVersion: berth/v1alpha1
kind: RegistryConfig
registries:
- {host: ghcr.io, username: robot, password: not-told, auth: token}
`

const ecrConfig = `
-- config.yaml --
apiVersion: berth/v1alpha1
kind: RegistryConfig
mirrors:
- upstream: docker.io
  endpoints: [{url: https://111122223333.dkr.ecr.us-east-1.amazonaws.com/hub}]
`

func TestPermissions(t *testing.T) {
	p := bed(t, running+`
-- root/etc/containerd/certs.d/ghcr.io/hosts.toml --
server = "https://ghcr.io"

[header]
  Authorization = "Basic not-told"

[host]
-- root/var/lib/berth/provider.json --
{}
-- root/run/berth/tokens/x.json --
{}
-- secret --
not-told
-- config.yaml --
apiVersion: berth/v1alpha1
kind: RegistryConfig
registries:
- {host: ghcr.io, username: u, passwordFile: $DIR/secret}
`)
	wide := map[string]string{
		p.Machine.Root.Path("/etc/containerd/certs.d/ghcr.io/hosts.toml"): "chmod 600 /etc/containerd/certs.d/ghcr.io/hosts.toml",
		p.Machine.Root.Path("/var/lib/berth/provider.json"):               "provider.json",
		p.Machine.Root.Path("/run/berth/tokens"):                          "chmod 700 /run/berth/tokens",
		p.Config.Registries[0].PasswordFile:                               "secret",
	}
	for file := range wide {
		if err := os.Chmod(file, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	found := find(doctor.Examine(t.Context(), p), "permissions")
	if len(found) != len(wide) {
		t.Errorf("%+v", found)
	}
	for _, remedy := range wide {
		ok := false
		for _, f := range found {
			ok = ok || f.Level == doctor.Warn && strings.Contains(f.Remedy, remedy)
		}
		if !ok {
			t.Errorf("%q is not there: %+v", remedy, found)
		}
	}
	for file := range wide {
		if err := os.Chmod(file, map[bool]os.FileMode{true: 0o700, false: 0o600}[strings.HasSuffix(file, "tokens")]); err != nil {
			t.Fatal(err)
		}
	}
	if found = find(doctor.Examine(t.Context(), p), "permissions"); len(found) != 1 || found[0].Level != doctor.OK {
		t.Errorf("%+v", found)
	}
}

func TestK3sHasItsKubeletInside(t *testing.T) {
	p := bed(t, "-- root/var/lib/rancher/k3s/agent/etc/containerd/config.toml --\nversion = 2\n-- root/var/lib/rancher/credentialprovider/config.yaml --\nkind: CredentialProviderConfig\nproviders: [{name: p}]\n")
	if found := find(doctor.Examine(t.Context(), p), "kubelet"); len(found) != 1 || found[0].Level != doctor.Fail || !strings.Contains(found[0].Detail, "/var/lib/rancher/credentialprovider/bin/p: is missing") {
		t.Errorf("%+v", found)
	}
}

func TestABadConfig(t *testing.T) {
	p := bed(t, running)
	p.ConfigErr = errors.New("config.yaml:3:1: mirrors: must be a list")
	if found := find(doctor.Examine(t.Context(), p), "config"); len(found) != 1 || found[0].Level != doctor.Fail || found[0].Detail != p.ConfigErr.Error() {
		t.Errorf("%+v", found)
	}
}

func TestNoProc(t *testing.T) {
	p := bed(t, running)
	p.Machine.Proc = filepath.Join(t.TempDir(), "none")
	if found := find(doctor.Examine(t.Context(), p), "containerd"); len(found) != 1 || found[0].Level != doctor.Fail {
		t.Errorf("%+v", found)
	}
}

func TestWorst(t *testing.T) {
	for want, levels := range map[doctor.Level][]doctor.Level{
		doctor.OK: {doctor.OK}, doctor.Warn: {doctor.OK, doctor.Warn, doctor.OK}, doctor.Fail: {doctor.Fail, doctor.Warn},
	} {
		var all []doctor.Finding
		for _, l := range levels {
			all = append(all, doctor.Finding{Level: l})
		}
		if got := doctor.Worst(all); got != want {
			t.Errorf("%v: %s", levels, got)
		}
	}
	if got := doctor.Worst(nil); got != doctor.OK {
		t.Errorf("%s", got)
	}
}

// If install would refuse, the remedy is its reason and not the advice to run it.
func TestInstallKubeletThatRefuses(t *testing.T) {
	p := bed(t, running+kubelet("")+tokenConfig)
	p.InstallKubelet = func(context.Context) error { return errors.New("k0s starts kubelet: put it there by hand") }
	found := find(doctor.Examine(t.Context(), p), "kubelet")
	if len(found) != 1 || found[0].Remedy != "k0s starts kubelet: put it there by hand" {
		t.Errorf("%+v", found)
	}
}

// TestDocker checks what is said of a Docker Engine: nothing on a node without one, and what its
// image store and its own settings mean.
func TestDocker(t *testing.T) {
	const binary = "-- root/usr/bin/dockerd --\n#!/bin/sh\necho 'Docker version 29.7.2, build x'\n-- proc/1/stat --\n"
	for name, c := range map[string]struct {
		archive string
		want    []string // level and text
	}{
		"none": {"", nil},
		"none, and mode on": {"-- config.yaml --\napiVersion: berth/v1alpha1\nkind: RegistryConfig\ndocker: {mode: \"on\"}\n",
			[]string{"warn docker.mode is on, and no Docker Engine is seen"}},
		"the containerd image store": {binary, []string{"ok Docker 29.7.2 reads hosts.toml files (the default of Docker 29.7.2)"}},
		"off": {binary + "-- config.yaml --\napiVersion: berth/v1alpha1\nkind: RegistryConfig\ndocker: {mode: \"off\"}\n",
			[]string{"ok Docker 29.7.2: nothing is written for it"}},
		"the store of earlier releases": {binary + "-- root/etc/docker/daemon.json --\n{\"storage-driver\": \"overlay2\"}\n",
			[]string{"warn Docker 29.7.2: its image store is that of earlier releases (storage-driver is overlay2)"}},
		"its own settings": {binary + "-- root/etc/docker/daemon.json --\n{\"registry-mirrors\": [\"https://m.corp\"], \"insecure-registries\": [\"r.corp\"]}\n",
			[]string{"ok Docker 29.7.2 reads", "warn registry-mirrors of Docker (https://m.corp)", "warn insecure-registries of Docker (r.corp)"}},
		"a file that dockerd refuses": {binary + "-- root/etc/docker/daemon.json --\n{\n",
			[]string{"fail /etc/docker/daemon.json: is not the JSON that dockerd reads", "warn Docker 29.7.2: whether it reads hosts.toml files is not known"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := bed(t, c.archive)
			p.Machine.Version = node.AskVersion
			var got []string
			for _, f := range doctor.Examine(t.Context(), p) {
				if f.Name == "docker" {
					got = append(got, string(f.Level)+" "+f.Detail)
					if f.Level != doctor.OK && f.Remedy == "" {
						t.Errorf("no remedy: %s", f.Detail)
					}
				}
			}
			for i, g := range got {
				if i >= len(c.want) || !strings.HasPrefix(g, c.want[i]) {
					t.Errorf("%s", g)
				}
			}
			if len(got) < len(c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
