package install

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-registry/berth/node/providerconfig"
)

// A change is reported even if none of it can be shown.
func TestHiddenChange(t *testing.T) {
	before := `{"kind":"CredentialProviderConfig","providers":[{"name":"a","env":[{"name":"A","value":"hunter2"}]}]}`
	after, err := providerconfig.AddEntry([]byte(before), providerconfig.Wanted{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := Change{Path: "/etc/p.json", What: "change", Before: []byte(before), After: after, Foreign: true}
	c.write(&out, func(_, text string) string { return text })
	if text := out.String(); !strings.Contains(text, "not shown") || strings.Contains(text, "hunter2") {
		t.Errorf("%s", text)
	}
}

// A secret in any place of a foreign file is not shown: as a value, a name, an item, an argument, a
// comment, or after another value.
func TestNoSecretIsShown(t *testing.T) {
	const canary = "hunter2kanary"
	encoded := base64.StdEncoding.EncodeToString([]byte("puller:" + canary))
	files := []string{
		"version = 2\nroot = \"/var/lib/containerd\"\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"\"\n" +
			"[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"https://m.corp\", \"b\"]\n" +
			"[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"m.corp\".auth]\n  username = \"u\"\n  pw = \"p\"\n[x]\nodd = 1\n",
		"apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: ecr\n  matchImages:\n  - \"*.amazonaws.com\"\n" +
			"  env:\n  - name: A\n    value: b\n  - {name: A, value: b}\n",
		"KUBELET_EXTRA_ARGS=\"--node-ip=10.0.0.1 --v=2\"\nHTTPS_PROXY=http://p.corp:3128\n",
		"[Service]\nEnvironment=A=b\nExecStart=/usr/bin/kubelet --bootstrap-token x $ARGS\n",
		"{\"kind\":\"x\",\"providers\":[{\"name\":\"a\"}]}\n",
	}
	word := regexp.MustCompile(`[A-Za-z0-9_./:*-]+`)
	tried := 0
	for _, file := range files {
		for _, form := range []string{canary, "puller:" + canary, "https://u:" + canary + "@x.corp", encoded, "Basic " + encoded, "password:" + canary} {
			var changed []string
			for _, at := range word.FindAllStringIndex(file, -1) {
				changed = append(changed, file[:at[0]]+form+file[at[1]:], file[:at[1]]+" "+form+file[at[1]:])
			}
			for i := range file {
				if file[i] == '\n' {
					changed = append(changed, file[:i]+" # "+form+file[i:], file[:i]+"\n"+form+file[i:], file[:i]+"\n  secret = \""+form+"\""+file[i:])
				}
			}
			for _, text := range changed {
				tried++
				var out bytes.Buffer
				c := Change{Path: "/etc/x", What: "change", Before: []byte(text), After: []byte("new\n"), Foreign: true}
				c.write(&out, func(_, text string) string { return text })
				if strings.Contains(out.String(), canary) || strings.Contains(out.String(), encoded[4:20]) {
					t.Fatalf("a secret of\n%s\nis in\n%s", text, out.String())
				}
			}
		}
	}
	if tried < 500 {
		t.Errorf("only %d files were tried", tried)
	}
}
