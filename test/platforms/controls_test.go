package platforms

import (
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/walkthrough"
)

// TestBroken: a good block of each language passes, and each broken one is found.
func TestBroken(t *testing.T) {
	c := newChecker(t)
	const (
		pool = "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {name: a}\nspec: {template: {spec: {" +
			"nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: a}, requirements: []}}}\n"
		registry = "apiVersion: berth/v1alpha1\nkind: RegistryConfig\nmirrors: [{upstream: docker.io, endpoints: [{url: 'https://mirror.corp'}]}]\n"
		hosts    = "# /etc/containerd/certs.d/docker.io/hosts.toml\nserver = \"https://registry-1.docker.io\"\n[host.\"https://mirror.corp\"]\n  capabilities = [\"pull\"]\n"
		plugins  = "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = \"/etc/containerd/certs.d\"\n"
		parts    = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"B\"\n\n--B\nContent-Type: text/x-shellscript\n\necho a\n--B--\n"
		policy   = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}]}`
		cloud    = "#cloud-config\nwrite_files:\n- {path: /etc/a, permissions: '0600', content: a}\nruncmd: [echo a]\n"
		pod      = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"
		release  = "resource \"helm_release\" \"berth\" {\n  values = [<<-E\n    " + "a: b\n  E\n  ]\n}\n"
		nodeConf = "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec: {kubelet: {flags: [--v=2]}}\n"
		flatcar  = "# a.bu\nvariant: flatcar\nversion: 1.1.0\nstorage:\n  files:\n  - {path: /etc/a, mode: 0644, contents: {inline: a}}\n"
		script   = "berth apply --no-probe\n"
	)
	indented := func(text string) string {
		return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
	}
	for _, test := range []struct{ info, text, broken, find, replace string }{
		{"yaml", pool, "an unknown field", "requirements: []", "requirements: [], startupTaint: []"},
		{"yaml", flatcar, "an unknown field of Butane", "mode:", "modes:"},
		{"yaml", flatcar, "another variant of Butane", "flatcar", "flatcars"},
		{"yaml", pool, "a missing field", ", name: a}, req", "}, req"},
		{"yaml", pool, "an unknown kind", "NodePool", "NodePol"},
		{"yaml", pod, "an unknown field of Kubernetes", "metadata", "data: {a: b}\nmetdata"},
		{"yaml", pod, "a key that is there twice", "metadata", "kind: Secret\nmetadata"},
		{"yaml", registry, "a mistake in a config", "https:", "ftp:"},
		{"yaml", "# a.yaml\na: b\n", "a file without a name", "# a.yaml\n", ""},
		{"yaml", "# a.yaml\na: b\n", "no YAML", "a: b", "a: b: c"},
		{"yaml values", "provider: {enabled: false}\n", "an unknown value", "enabled", "enable"},
		{"yaml", "# values.yaml\nprovider: {enabled: false}\n", "an unknown value", "enabled", "enable"},
		{"yaml config", "ecr: {credentials: [{instanceProfile: {}}]}\n", "a mistake in a config", "instanceProfile", "profile"},
		{"yaml", cloud, "an unknown module of cloud-init", "runcmd", "runcmds"},
		{"yaml", cloud, "an unknown key of write_files", "permissions", "mode"},
		{"yaml", cloud, "a command that bash cannot read", "echo a", "'echo \"a'"},
		{"yaml", "apiVersion: v1\nkind: ConfigMap\ndata:\n  config.yaml: |\n" + strings.ReplaceAll(indented(registry), "  ", "    "), "a mistake in a config in an object", "https:", "ftp:"},
		{"json", policy, "a key that is there twice", `"Effect"`, `"Effect": "Deny", "Effect"`},
		{"json", policy, "an unknown key of a policy", `"Action"`, `"Actions"`},
		{"json", `{"a": 1}`, "no JSON", "}", ",}"},
		{"toml", hosts, "an unknown capability", "pull", "pul"},
		{"toml", hosts, "no name", "# ", "#! "},
		{"toml", plugins, "a config that is not read", "config_path", "config_paths"},
		{"toml", strings.TrimPrefix(plugins, "version = 3\n"), "a part of a config that is not read", "config_path", "config_paths"},
		{"toml", plugins, "no TOML", "]", ""},
		{"toml", "[settings.pki.a]\ntrusted = true\n", "an unknown setting of Bottlerocket", "trusted", "trust"},
		{"hcl", release, "no HCL", "]", ""},
		{"hcl", strings.ReplaceAll(release, "    a: b\n", strings.ReplaceAll(indented(registry), "  ", "    ")), "a mistake in a config", "https:", "ftp:"},
		{"hcl", "template { contents = \"{{ with secret \\\"a\\\" }}{{ end }}\" }\n", "no template", "{{ end }}", ""},
		{"yaml", "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\nnodeRegistration: {name: a}\n", "an unknown field of kubeadm", "{name", "{names"},
		{"yaml", "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec: {values: {mode: run}}\n", "an unknown value in a release of Flux", "mode", "modes"},
		{"yaml", "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec: {values: {mode: run}}\n", "an unknown field of Flux", "{values", "{suspended: true, values"},
		{"yaml", nodeConf, "an unknown field of nodeadm", "flags", "args"},
		{"sh", script, "an unknown flag", "no-probe", "no-prob"},
		{"sh", script, "an unknown verb", "apply", "aply"},
		{"sh", script, "no shell", "berth", "if berth"},
		{"sh", "berth images list --count\n", "an unknown flag of images list", "count", "counts"},
		{"sh", "journalctl -u berth --since=today\nsudo berth plan\n", "an unknown verb after sudo", "plan", "plane"},
		{"sh", "kubectl exec -n a POD -- /berth status\n", "an unknown verb in a pod", "status", "statu"},
		{"ini", "[Unit]\nAfter=a.service\n", "no unit", "[Unit]", "[Unit"},
		{"mime", parts, "a part that bash cannot read", "echo a", "echo \"a"},
		{"mime", parts, "a part of an unknown type", "x-shellscript", "x-shell"},
		{"mime", parts, "an end that is missing", "--B--", ""},
		{"text", "a\n", "", "", ""},
		{"", "a\n", "a block without a language", "", ""},
		{"console", "a\n", "an unknown language", "", ""},
	} {
		err := c.block(walkthrough.Block{Info: test.info, Text: test.text})
		if test.find == "" {
			if (err != nil) != (test.broken != "") {
				t.Errorf("%q: %v", test.info, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v in\n%s", test.info, err, test.text)
		}
		bad := strings.Replace(test.text, test.find, test.replace, 1)
		if bad == test.text {
			t.Errorf("%s: %q is not in\n%s", test.info, test.find, test.text)
		}
		if err := c.block(walkthrough.Block{Info: test.info, Text: bad}); err == nil {
			t.Errorf("%s: %s is not found in\n%s", test.info, test.broken, bad)
		}
	}
}

// TestBrokenPages: a page without its parts, or with a block that is not seen, is found.
func TestBrokenPages(t *testing.T) {
	c := checker{}
	good := "# A\n\n## What you need\n\n## The files\n\n```json\n{}\n```\n\n## What restarts\n\n" +
		"## See that it works\n\n```sh\n## a comment\n```\n\n```text\na\n```\n\n## Leave\n\n## What was run\n"
	if problems := c.page(good); problems != nil {
		t.Errorf("%q", problems)
	}
	for name, text := range map[string]string{
		"a part is missing":      strings.Replace(good, "## Leave\n", "", 1),
		"parts in another order": strings.Replace(strings.Replace(good, "## Leave", "## X", 1), "## What restarts", "## Leave", 1),
		"an indented block":      strings.Replace(good, "```json\n{}\n```", "- a\n\n  ```json\n  {\n  ```", 1),
		"an open block":          strings.Replace(good, "```json\n", "```json\n```json\n", 1),
		"output of nothing":      strings.Replace(good, "```sh\n## a comment\n```", "", 1),
		"a broken block":         strings.Replace(good, "{}", "{", 1),
		"no blocks":              fence.ReplaceAllString(good, ""),
	} {
		if c.page(text) == nil {
			t.Errorf("%s: not found", name)
		}
	}
}
