package doctor_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/doctor"
	"github.com/berth-registry/berth/node/reconcile"
	"github.com/berth-registry/berth/test/nodetest"
)

// What doctor says about kubelet's own config.json, from the first look to a foreign file.
func TestConfigJSON(t *testing.T) {
	const (
		on     = "kubelet: {configJSON: true}\n"
		tokens = "registries: [{host: token.corp, username: u, password: hunter2, auth: token}]\n"
		file   = nodetest.KubeletFile
	)
	dir := t.TempDir()
	nodetest.Kubelet(t, dir)
	root, err := nodefs.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
	examine := func(body, proc string) (found []doctor.Finding, kubelet doctor.Finding) {
		all := doctor.Examine(t.Context(), doctor.Input{
			Machine: node.Machine{Root: root, Proc: proc}, Config: nodetest.ParseConfig(t, body), ConfigFile: "config.yaml",
			Getenv: func(string) string { return "" },
		})
		for _, f := range all {
			if strings.Contains(f.Detail+f.Remedy, "hunter2") {
				t.Errorf("a secret is shown: %+v", f)
			}
		}
		for _, f := range find(all, "kubelet") {
			kubelet = f
		}
		return find(all, "config-json"), kubelet
	}
	check := func(body, proc string, level doctor.Level, detail, remedy string) doctor.Finding {
		t.Helper()
		found, kubelet := examine(body, proc)
		if len(found) != 1 || found[0].Level != level || !strings.Contains(found[0].Detail, detail) || !strings.Contains(found[0].Remedy, remedy) {
			t.Errorf("%+v, want %s %q %q", found, level, detail, remedy)
		}
		return kubelet
	}
	apply := func(body string) {
		t.Helper()
		m, err := reconcile.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if _, err := m.Apply(t.Context(), nodetest.ParseConfig(t, body), nil); err != nil {
			t.Fatal(err)
		}
	}
	proc := filepath.Join(dir, "proc")
	if found, kubelet := examine(tokens, proc); len(found) > 0 || kubelet.Level != doctor.Warn {
		t.Errorf("without the option: %+v, %+v", found, kubelet)
	}
	check(on, proc, doctor.OK, "no login is in kubelet's config.json: no login needs it", "")
	check(on+tokens, "", doctor.Warn, "no login is written for kubelet: no process of kubelet is seen", "while kubelet runs")
	check(on+tokens, proc, doctor.Warn, "kubelet's "+file+" is not as the config says", "berth apply")
	apply(on + tokens)
	if k := check(on+tokens, proc, doctor.OK, file+" holds the login of token.corp; kubelet uses a change within five minutes", ""); k.Level != doctor.OK {
		t.Errorf("a login in the file is missed: %+v", k)
	}
	check(on+tokens, "", doctor.Warn, "whether kubelet uses another file is not known", "while kubelet runs")
	nodetest.WriteFile(t, dir, "/root/.docker/config.json", "{}")
	check(on+tokens, proc, doctor.Fail, "/root/.docker/config.json: kubelet takes its logins from this file; "+file+" would silence it", "dockerConfigFile")
}
