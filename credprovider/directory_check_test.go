package credprovider

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-registry/berth/internal/redact"
)

const (
	mirrorToml = "[host.\"https://mirror.corp\"]\n"
	evilToml   = "[host.\"https://evil.corp\"]\n"
	ourDir     = "/etc/containerd/certs.d"
)

// onNode returns a provider for the node below root.
func onNode(root string, r Rules) *Provider {
	return &Provider{Rules: r, Resolve: func(p string) (string, error) { return filepath.Join(root, p), nil }}
}

// put writes files below root. A name that ends in a slash is a directory; a content that begins
// with an arrow is the target of a symlink.
func put(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(root, name)
		dir := filepath.Dir(file)
		if strings.HasSuffix(name, "/") {
			dir = file
		}
		err := os.MkdirAll(dir, 0o755)
		target, link := strings.CutPrefix(content, "→")
		switch {
		case strings.HasSuffix(name, "/"):
		case link:
			err = errors.Join(err, os.Symlink(target, file))
		case content == "fifo":
			err = errors.Join(err, syscall.Mkfifo(file, 0o644))
		default:
			err = errors.Join(err, os.WriteFile(file, []byte(content), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// rulesFor returns rules where h.corp:5000 and free.corp are asked themselves, and the images of
// only.corp come from a mirror alone.
func rulesFor() Rules {
	return Rules{
		CertsDir: ourDir,
		Registries: []Login{
			{Host: "h.corp:5000", Username: "u", Password: redact.New("p")},
			{Host: "mirror.corp", Username: "m", Password: redact.New("p")},
			{Host: "free.corp", Username: "f", Password: redact.New("p")},
		},
		Directories: []Directory{
			{Upstream: "h.corp:5000", Hosts: []Host{{Host: "h.corp:5000"}}, Files: []string{Digest([]byte("ours"))}},
			{Upstream: "only.corp", Hosts: []Host{{Host: "mirror.corp"}}, Files: []string{Digest([]byte("only"))}},
			{Upstream: "free.corp", Hosts: []Host{{Host: "free.corp"}}, Files: []string{Digest([]byte("before")), Digest([]byte("after"))}},
		},
	}
}

// TestUnchanged: the provider gives a credential while the hosts.toml on the node is one that the
// rules were made for; otherwise the error names the difference.
func TestUnchanged(t *testing.T) {
	ours := map[string]string{
		"etc/containerd/certs.d/h.corp_5000_/hosts.toml": "ours",
		"etc/containerd/certs.d/only.corp/hosts.toml":    "only",
		"etc/containerd/certs.d/free.corp/hosts.toml":    "before",
	}
	const ecrImage = usEast + "/app"
	for name, c := range map[string]struct {
		files map[string]string // in place of ours, and beside them
		gone  string
		image string
		want  string // in the error, "" when it is given
	}{
		"as it was":                     {image: "h.corp:5000/a"},
		"the mirror alone":              {image: "only.corp/a"},
		"while it changes":              {image: "free.corp/a", files: map[string]string{"etc/containerd/certs.d/free.corp/hosts.toml": "after"}},
		"the file is another one":       {image: "h.corp:5000/a", files: map[string]string{"etc/containerd/certs.d/h.corp_5000_/hosts.toml": evilToml}, want: ourDir + "/h.corp_5000_/hosts.toml is not as it was when the rules were made; run: berth apply"},
		"the file is written again":     {image: "h.corp:5000/a", files: map[string]string{"etc/containerd/certs.d/h.corp_5000_/hosts.toml": "ours"}},
		"the file is gone":              {image: "h.corp:5000/a", gone: "etc/containerd/certs.d/h.corp_5000_/hosts.toml"},
		"the directory is gone":         {image: "h.corp:5000/a", gone: "etc/containerd/certs.d/h.corp_5000_"},
		"the other spelling wins then":  {image: "h.corp:5000/a", gone: "etc/containerd/certs.d/h.corp_5000_", files: map[string]string{"etc/containerd/certs.d/h.corp:5000/hosts.toml": evilToml}, want: "h.corp:5000/hosts.toml is not as it was"},
		"the other spelling is hidden":  {image: "h.corp:5000/a", files: map[string]string{"etc/containerd/certs.d/h.corp:5000/hosts.toml": evilToml}},
		"the mirror's file is gone":     {image: "only.corp/a", gone: "etc/containerd/certs.d/only.corp/hosts.toml", want: "only.corp/hosts.toml is missing"},
		"the mirror's directory too":    {image: "only.corp/a", gone: "etc/containerd/certs.d/only.corp", want: ourDir + ": the directory for only.corp is missing"},
		"everything is gone":            {image: "only.corp/a", gone: "etc", want: "the directory for only.corp is missing"},
		"_default came":                 {image: ecrImage, files: map[string]string{"etc/containerd/certs.d/_default/hosts.toml": evilToml}, want: ourDir + "/_default/hosts.toml is not as it was"},
		"_default is masked":            {image: "h.corp:5000/a", files: map[string]string{"etc/containerd/certs.d/_default/hosts.toml": evilToml}},
		"a directory of its own came":   {image: ecrImage, files: map[string]string{"etc/containerd/certs.d/" + usEast + "/hosts.toml": evilToml}, want: usEast + "/hosts.toml is not as it was"},
		"one with certificates only":    {image: ecrImage, files: map[string]string{"etc/containerd/certs.d/" + usEast + "/ca.crt": "pem"}},
		"one of another registry":       {image: ecrImage, files: map[string]string{"etc/containerd/certs.d/quay.io/hosts.toml": evilToml}},
		"a link to a directory":         {image: ecrImage, files: map[string]string{"opt/x/hosts.toml": evilToml, "etc/containerd/certs.d/_default": "→../../../opt/x"}, want: "_default/hosts.toml is not"},
		"a link to nothing":             {image: ecrImage, files: map[string]string{"etc/containerd/certs.d/_default": "→nowhere"}},
		"a fifo":                        {image: ecrImage, files: map[string]string{"etc/containerd/certs.d/_default/hosts.toml": "fifo"}, want: "_default/hosts.toml cannot be read (not a regular file of at most 1024 KiB); fix or remove it, then run: berth apply"},
		"too large":                     {image: ecrImage, files: map[string]string{"etc/containerd/certs.d/_default/hosts.toml": strings.Repeat("#", maxForeign+1)}, want: "cannot be read"},
		"a directory as file":           {image: ecrImage, files: map[string]string{"etc/containerd/certs.d/_default/hosts.toml/": ""}, want: "cannot be read"},
		"a file as directory":           {image: ecrImage, files: map[string]string{"etc/containerd/certs.d/_default": "x"}, want: "_default/hosts.toml cannot be read (not a directory)"},
		"config_path as it was":         {image: ecrImage, files: map[string]string{"etc/containerd/config.toml": "[x]\n config_path = \"" + ourDir + "\"\n"}},
		"config_path was moved":         {image: ecrImage, files: map[string]string{"etc/containerd/config.toml": "[x]\n config_path = '/opt/certs'\n", "opt/certs/_default/hosts.toml": evilToml}, want: `/etc/containerd/config.toml has config_path "/opt/certs", and the rules do not know /opt/certs/_default/hosts.toml; set containerd.certsDir to that directory, then run: berth apply`},
		"config_path was moved away":    {image: "only.corp/a", files: map[string]string{"etc/containerd/config.toml": "registry.config_path=\"/opt/certs\"\n"}, want: `has config_path "/opt/certs", where nothing is for only.corp`},
		"moved, and it is asked itself": {image: ecrImage, files: map[string]string{"etc/containerd/config.toml": "config_path = \"/opt/certs\"\n"}},
		"moved, with the same files":    {image: "only.corp/a", files: map[string]string{"etc/containerd/config.toml": "config_path = \"/opt/certs\"\n", "opt/certs/only.corp/hosts.toml": "only"}},
		"two places":                    {image: ecrImage, files: map[string]string{"etc/containerd/config.toml": "config_path = \"" + ourDir + ":/etc/docker/certs.d\"\n", "etc/docker/certs.d/_default/hosts.toml": evilToml}, want: "/etc/docker/certs.d/_default/hosts.toml"},
		"two places, the first has it":  {image: "h.corp:5000/a", files: map[string]string{"etc/containerd/config.toml": "config_path = \"" + ourDir + ":/etc/docker/certs.d\"\n", "etc/docker/certs.d/h.corp:5000/hosts.toml": evilToml}},
		"a drop-in":                     {image: ecrImage, files: map[string]string{"etc/containerd/conf.d/x.toml": "config_path = \"/opt/certs\"\n", "opt/certs/_default/hosts.toml": evilToml}, want: "/etc/containerd/conf.d/x.toml has config_path"},
		"an import":                     {image: ecrImage, files: map[string]string{"etc/containerd/config.toml": "imports = [\n  'more/*.toml',\n]\n", "etc/containerd/more/a.toml": "\"config_path\" = \"/opt/certs\"\n", "opt/certs/_default/hosts.toml": evilToml}, want: "/etc/containerd/more/a.toml has config_path"},
		"another key":                   {image: ecrImage, files: map[string]string{"etc/containerd/config.toml": "plugin_config_path = \"/opt/certs\"\n# config_path = \"/opt/certs\"\nconfig_path = ''\n", "opt/certs/_default/hosts.toml": evilToml}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			put(t, root, ours)
			if c.gone != "" {
				if err := os.RemoveAll(filepath.Join(root, c.gone)); err != nil {
					t.Fatal(err)
				}
			}
			put(t, root, c.files)
			err := onNode(root, rulesFor()).Check(c.image)
			checkWithheld(t, err, c.want)
			// Rules of an earlier Berth are not compared with the node.
			old := rulesFor()
			old.CertsDir = ""
			if err := onNode(root, old).Check(c.image); err != nil {
				t.Errorf("rules without a directory: %v", err)
			}
		})
	}
}

func checkWithheld(t *testing.T, err error, want string) {
	t.Helper()
	withheld, ok := errors.AsType[*WithheldError](err)
	switch {
	case want == "" && err != nil, want != "" && !ok:
		t.Errorf("%v, want %q", err, want)
	case ok && (!strings.Contains(err.Error(), want) || withheld.Owner == "" || !strings.HasPrefix(err.Error(), "credential of "+withheld.Owner+" withheld for ")):
		t.Errorf("%v, want %q", err, want)
	}
}

// TestWithoutRules: no hosts.toml is known, so one that decides withholds the credential.
func TestWithoutRules(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"an empty node":         {nil, ""},
		"_default":              {map[string]string{"etc/containerd/certs.d/_default/hosts.toml": mirrorToml}, ourDir + "/_default/hosts.toml says who is asked, and there are no rules that know it; remove it, or run: berth apply"},
		"its own":               {map[string]string{"etc/containerd/certs.d/" + usEast + "/hosts.toml": mirrorToml}, usEast + "/hosts.toml says who is asked"},
		"of another registry":   {map[string]string{"etc/containerd/certs.d/quay.io/hosts.toml": mirrorToml}, ""},
		"certificates":          {map[string]string{"etc/docker/certs.d/" + usEast + "/ca.crt": "pem"}, ""},
		"Docker's":              {map[string]string{"etc/docker/certs.d/_default/hosts.toml": mirrorToml}, "/etc/docker/certs.d/_default/hosts.toml"},
		"Docker's, not in use":  {map[string]string{"etc/docker/certs.d/_default/hosts.toml": mirrorToml, "etc/containerd/config.toml": "config_path = \"" + ourDir + "\"\n"}, ""},
		"k3s'":                  {map[string]string{"var/lib/rancher/k3s/agent/etc/containerd/certs.d/_default/hosts.toml": mirrorToml}, "/var/lib/rancher/k3s/agent/etc/containerd/certs.d/_default/hosts.toml"},
		"a place of one's own":  {map[string]string{"opt/certs/_default/hosts.toml": mirrorToml, "etc/containerd/config.toml": "config_path = \"/opt/certs\"\n"}, "/opt/certs/_default/hosts.toml"},
		"an empty place":        {map[string]string{"etc/containerd/config.toml": "config_path = \"" + ourDir + ":\"\n"}, ""},
		"that cannot be looked": {map[string]string{"etc/containerd/certs.d/_default": "→_default"}, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			put(t, root, c.files)
			checkWithheld(t, onNode(root, Rules{Missing: true}).Check(usEast+"/app"), c.want)
		})
	}
}

// TestOtherContainerd: the files of another containerd are ignored when the rules are for the
// containerd of a distribution.
func TestOtherContainerd(t *testing.T) {
	for _, certsDir := range []string{
		"/var/lib/rancher/k3s/agent/etc/containerd/certs.d", // known
		"/data/k3s/agent/etc/containerd/certs.d",            // a data directory of its own
	} {
		root := t.TempDir()
		put(t, root, map[string]string{
			"etc/containerd/config.toml":                         "config_path = \"" + ourDir + "\"\n",
			"etc/containerd/certs.d/_default/hosts.toml":         evilToml,
			filepath.Join(filepath.Dir(certsDir), "config.toml"): "config_path = \"" + certsDir + "\"\n",
			certsDir + "/only.corp/hosts.toml":                   "only",
		})
		r := rulesFor()
		r.CertsDir = certsDir
		if err := onNode(root, r).Check("only.corp/a"); err != nil {
			t.Error(err)
		}
	}
}

// FuzzConfigPath: no content of a configuration yields an empty config_path.
func FuzzConfigPath(f *testing.F) {
	f.Add("imports = ['*.toml', \"[\\\"]\"]\nconfig_path = \"/a:/b\"")
	f.Add("config_path='config_path=\"x\"'\n'''config_path\n=")
	root := f.TempDir()
	f.Fuzz(func(t *testing.T, content string) {
		put(t, root, map[string]string{"etc/containerd/config.toml": content})
		for _, s := range onNode(root, Rules{CertsDir: ourDir}).searched() {
			if s.from != "" && s.value == "" {
				t.Errorf("an empty config_path: %+v", s)
			}
		}
	})
}
