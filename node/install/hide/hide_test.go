package hide

import (
	"strings"
	"testing"
)

func TestHide(t *testing.T) {
	text := "[plugins.auth]\npassword = \"hunter2\"\nidentitytoken=\"hunter2\"\n  \"value\": \"hunter2\",\na = { auth = \"hunter2\" }\nconfig_path = \"/etc\"\r\n"
	got := Text(text)
	if strings.Contains(got, "hunter2") || !strings.Contains(got, "[plugins.auth]\n") || !strings.Contains(got, "config_path = \"/etc\"\r\n") {
		t.Errorf("%s", got)
	}
	// In URLs, over several lines, in tables in which every value is secret, in JSON.
	for _, text := range []string{
		"endpoint = [\"https://bob:hunter2@mirror.corp\"]\n",
		"endpoint = [\n  \"https://mirror.corp\",\n  \"https://hunter2@mirror.corp/v2\",\n]\n",
		"[plugins.\"io.containerd.grpc.v1.cri\".registry.headers]\nX-Meta = [\n \"hunter2\",\n]\n",
		"[plugins.cri.registry.configs.\"r.corp:5000\".auth]\n  pw = \"hunter2\"\n",
		"{\"providers\":[{\"name\":\"a\",\"env\":[{\"name\":\"A\",\"value\":\"hunter2\"}]}]}\n",
		"[{\"name\": \"A\", \"value\": \"hunter2\"}]\n",
	} {
		if got := Text(text); strings.Contains(got, "hunter2") {
			t.Errorf("%s becomes\n%s", text, got)
		}
	}
	shown := "[plugins.cri.registry.headers]\nA = 1\n[plugins.cri.registry.mirrors.\"r.corp:5000\"]\nendpoint = [\"https://m.corp\"] # at@home\n[[plugins.x]]\nb = 2\n"
	if got := Text(shown); got != strings.NewReplacer("# at@home", "# (not shown)", "A = 1", "A = (not shown)").Replace(shown) {
		t.Errorf("%s", got)
	}
}
