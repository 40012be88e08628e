package convert_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/config/convert"
)

// mistakes are unreadable inputs with their exact messages. hunter2 is a secret.
var mistakes = []struct {
	name   string
	format convert.Format
	input  string
	want   string
}{
	{"empty", convert.RKE, "", "cluster.yml:1:1: is empty; there is nothing to convert"},
	{"only comments", convert.K3s, "# nothing\n", "registries.yaml:1:1: is empty; there is nothing to convert"},
	{"a list", convert.RKE, "- url: registry.corp\n", "cluster.yml:1:1: must be a mapping of names to values; this is another kind of file"},
	{"two documents", convert.K3s, "mirrors: {}\n---\nconfigs: {}\n", "registries.yaml:2:1: a second document begins here; pass one document, without the \"---\" and the rest"},
	{"binary", convert.Containerd, "version = 2\n\x00\x01", "config.toml:2:1: holds a NUL byte: this is a binary file, or UTF-16; text in UTF-8 is needed"},
	{"utf-16", convert.RKE, "\xff\xfeu\x00", "cluster.yml:1:4: holds a NUL byte: this is a binary file, or UTF-16; text in UTF-8 is needed"},
	{"latin 1", convert.K3s, "configs:\n  a.corp:\n    auth: {username: u, password: \xe9hunter2}\n", "registries.yaml:3:35: byte 0xe9 is not UTF-8; save the file as UTF-8"},
	{"tab", convert.K3s, "mirrors:\n\tdocker.io: {}\n", "registries.yaml:2:1: is not valid YAML: near this line a value begins with a tab, @, ` or %, or the indentation holds a tab; use spaces, and quotes around the value"},
	{"unquoted star", convert.K3s, "configs:\n  a.corp:\n    auth:\n      username: u\n      password: *hunter2\n", "registries.yaml:5:17: is not valid YAML: near this line is a \"*name\" without its \"&name\"; put a value that begins with * in quotes"},
	{"unquoted at", convert.K3s, "configs:\n  a.corp:\n    auth:\n      username: u\n      password: @hunter2\n", "registries.yaml:5:7: is not valid YAML: near this line a value begins with a tab, @, ` or %, or the indentation holds a tab; use spaces, and quotes around the value"},
	{"unclosed quote", convert.RKE, "private_registries:\n- url: a.corp\n  password: \"hunter2\n", "cluster.yml:3:3: is not valid YAML: near this line a quote or bracket is opened and never closed"},
	{"escape", convert.RKE, "private_registries:\n- url: a.corp\n  password: \"hunter2\\q\"\n", "cluster.yml:3:3: is not valid YAML: near this line is a backslash in \"double quotes\"; use 'single quotes' to keep it as it is"},
	{"colon in value", convert.RKE, "private_registries:\n- url: a.corp\n  password: x: hunter2\n", "cluster.yml:3:3: is not valid YAML: near this line is a \": \" that does not belong there; check the indentation, and put a value that holds \": \" in quotes"},
	{"indentation", convert.RKE, "private_registries:\n- url: a.corp\n    user: u\n", "cluster.yml:3:5: is not valid YAML: near this line is a \": \" that does not belong there; check the indentation, and put a value that holds \": \" in quotes"},
	{"unclosed bracket", convert.K3s, "mirrors:\n  docker.io:\n    endpoint: [https://a.corp\nconfigs: {}\n", "registries.yaml:2:3: is not valid YAML: near this line a bracket is not closed, or a comma is missing"},
	{"registries as a mapping", convert.RKE, "private_registries:\n  url: a.corp\n", "cluster.yml:2:3: private_registries: must be a list; write - url: registry.corp:5000"},
	{"registry as a string", convert.RKE, "private_registries:\n- a.corp\n", "cluster.yml:2:3: private_registries[0]: must be a mapping; write url: registry.corp:5000"},
	{"url as a list", convert.RKE, "private_registries:\n- url: [a.corp]\n", "cluster.yml:2:8: private_registries[0].url: must be a string; put the value in quotes"},
	{"is_default as a word", convert.RKE, "private_registries:\n- url: a.corp\n  is_default: maybe\n", "cluster.yml:3:15: private_registries[0].is_default: must be true or false, without quotes"},
	{"plugin as a string", convert.RKE, "private_registries:\n- url: a.corp\n  ecrCredentialPlugin: hunter2\n", "cluster.yml:3:24: private_registries[0].ecrCredentialPlugin: must be a mapping; write aws_access_key_id: below it, or {}"},
	{"environment as a mapping", convert.RKE, "services:\n  kubelet:\n    extra_env: {AWS_SECRET_ACCESS_KEY: hunter2}\n", "cluster.yml:3:16: services.kubelet.extra_env: must be a list; write - \"AWS_ACCESS_KEY_ID=…\""},
	{"wrapper as a list", convert.RKE, "rancher_kubernetes_engine_config: []\n", "cluster.yml:1:35: rancher_kubernetes_engine_config: must be a mapping; write private_registries: below it"},
	{"a key twice", convert.K3s, "mirrors:\n  docker.io: {}\n  docker.io: {}\n", "registries.yaml:3:3: mirrors[\"docker.io\"]: is given twice; keep one of the two"},
	{"endpoint as a string", convert.K3s, "mirrors:\n  docker.io:\n    endpoint: https://mirror.corp\n", "registries.yaml:3:15: mirrors[\"docker.io\"].endpoint: must be a list; write endpoint: [\"https://mirror.corp\"]"},
	{"mirrors as a list", convert.K3s, "mirrors:\n- docker.io\n", "registries.yaml:2:1: mirrors: must be a mapping; write the registry's name, and below it endpoint: [\"https://mirror.corp\"]"},
	{"auth as a string", convert.K3s, "configs:\n  a.corp:\n    auth: hunter2\n", "registries.yaml:3:11: configs[\"a.corp\"].auth: must be a mapping; write username and password below it"},
	{"auth without base64", convert.K3s, "configs:\n  a.corp:\n    auth: {auth: hunter2}\n", "registries.yaml:3:18: configs[\"a.corp\"].auth.auth: is not the base64 form of user:password; write username and password instead"},
	{"binary without base64", convert.K3s, "configs:\n  a.corp:\n    auth: {username: u, password: !!binary hunter2-}\n", "registries.yaml:3:35: configs[\"a.corp\"].auth.password: is marked !!binary and is not base64; write the text itself"},
	{"skip as a word", convert.K3s, "configs:\n  \"a.corp:5000\":\n    tls:\n      insecure_skip_verify: perhaps\n", "registries.yaml:4:29: configs[\"a.corp:5000\"].tls.insecure_skip_verify: must be true or false, without quotes"},
	{"rewrite as a list", convert.K3s, "mirrors:\n  docker.io:\n    endpoint: [https://a.corp]\n    rewrite: [a]\n", "registries.yaml:4:14: mirrors[\"docker.io\"].rewrite: must be a mapping; write \"^(.*)\": \"prefix/$1\""},
	{"several at once", convert.K3s, "mirrors:\n  docker.io: text\nconfigs:\n  a.corp: text\n", "registries.yaml:2:14: mirrors[\"docker.io\"]: must be a mapping; write endpoint: [\"https://mirror.corp\"]\nregistries.yaml:4:11: configs[\"a.corp\"]: must be a mapping; write auth: or tls:"},
	{"an anchor in itself", convert.K3s, "mirrors: &a\n  docker.io: *a\n", "registries.yaml:2:14: mirrors[\"docker.io\"]: this alias is inside its own anchor; write the value out"},
	{"a login in a key", convert.K3s, "configs:\n  \"https://user:hunter2@a.corp\":\n    auth: text\n", "registries.yaml:3:11: configs[\"[redacted]@a.corp\"].auth: must be a mapping; write username and password below it"},
	{"unquoted value", convert.Containerd, "[plugins.cri.registry.configs.\"a.corp\".auth]\npassword = hunter2\n", "config.toml:2:12: is not valid TOML: a value that is no number, true, false or date must be in quotes"},
	{"unquoted number", convert.Containerd, "[plugins.cri.registry.configs.\"a.corp\".auth]\npassword = 12hunter2\n", "config.toml:2:14: is not valid TOML: a value that is no number, true, false or date must be in quotes"},
	{"unclosed string", convert.Containerd, "[plugins.cri.registry.configs.\"a.corp\".auth]\npassword = \"hunter2\n", "config.toml:2:20: is not valid TOML: a quote is opened and not closed on its line"},
	{"bad escape", convert.Containerd, "[plugins.cri.registry.configs.\"a.corp\".auth]\npassword = \"hunter2\\q\"\n", "config.toml:2:20: is not valid TOML: a backslash in \"double quotes\" begins an escape; use 'single quotes' to keep it as it is"},
	{"rest of a line", convert.Containerd, "[plugins.cri.registry.configs.\"a.corp\".auth]\npassword = \"a\" hunter2\n", "config.toml:2:16: is not valid TOML: something follows the value on its line; remove it, or put the whole value in quotes"},
	{"key twice", convert.Containerd, "version = 2\nversion = 2\n", "config.toml:2:1: is not valid TOML: this key or table is given twice; keep one of the two"},
	{"table twice", convert.Containerd, "[plugins.cri]\n[plugins.cri]\n", "config.toml:2:2: is not valid TOML: this key or table is given twice; keep one of the two"},
	{"json", convert.Docker, "{\"registry-mirrors\": [\"https://m.corp\",]}", "daemon.json:1:40: is not valid JSON here; check commas, quotes and brackets"},
	{"yaml as json", convert.Docker, "registry-mirrors: [hunter2]\n", "daemon.json:1:1: is not valid JSON here; check commas, quotes and brackets"},
	{"mirrors as a string", convert.Docker, "{\"registry-mirrors\": \"https://m.corp\"}", "daemon.json:1:22: registry-mirrors: must be a list; write [\"https://mirror.corp\"]"},
	{"proxies as a string", convert.Docker, "{\"registry-mirrors\": [], \"proxies\": \"hunter2\"}", "daemon.json:1:37: proxies: must be a mapping; write {\"https-proxy\": \"http://proxy.corp:3128\"}"},
	{"an empty hosts.toml", convert.CertsD, "# nothing\n", "/etc/certs/certs.d/docker.io/hosts.toml: needs no settings for registries; there is nothing to convert"},
	{"a hosts.toml that is not toml", convert.CertsD, "server = https://hunter2\n", "/etc/certs/certs.d/docker.io/hosts.toml:1:10: is not valid TOML: a value that is no number, true, false or date must be in quotes"},
	{"a hosts.toml of berth", convert.CertsD, "# Written by berth; edits are saved below /var/lib/berth and put right. sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n",
		"/etc/certs/certs.d/docker.io/hosts.toml: was written by berth; the RegistryConfig that it was made from has its settings already"},
	{"directories of berth alone", convert.CertsD, "-- quay.io/hosts.toml --\n# Written by berth; edits are saved below /var/lib/berth and put right. sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n",
		"/etc/certs/certs.d/quay.io/hosts.toml: was written by berth; the RegistryConfig that it was made from has its settings already; add this result to that RegistryConfig, and do not replace it"},
	{"no equals sign", convert.Containerd, "version 2\n", "config.toml:1:9: is not valid TOML: a key without its value; write key = \"value\""},
	{"version 9", convert.Containerd, "version = 9\n", "config.toml:1:11: version: must be 1, 2, 3 or 4; newer versions are not known here"},
	{"version as a word", convert.Containerd, "version = \"two\"\n", "config.toml:1:11: version: must be 1, 2, 3 or 4; newer versions are not known here"},
	{"endpoint as string", convert.Containerd, "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = \"https://mirror.corp\"\n", "config.toml:3:12: plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\".endpoint: must be a list; write endpoint = [\"https://mirror.corp\"]"},
	{"mirrors as an array", convert.Containerd, "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nmirrors = [\"docker.io\"]\n", "config.toml:3:1: plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors: must be a table; write the registry's name, and below it endpoint = [\"https://mirror.corp\"]"},
	{"registry table as a string", convert.Containerd, "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nregistry = \"x\"\n", "config.toml:3:12: plugins.\"io.containerd.grpc.v1.cri\".registry: must be a table; write [plugins.\"io.containerd.grpc.v1.cri\".registry]"},
	{"plugins as a number", convert.Containerd, "version = 2\nplugins = 3\n", "config.toml:2:11: plugins: must be a table; write [plugins.\"io.containerd.grpc.v1.cri\".registry]"},
	{"headers as an array", convert.Containerd, "[plugins.cri.registry]\nheaders = [\"hunter2\"]\n", "config.toml:2:1: plugins.cri.registry.headers: must be a table; write […registry.headers] with X-Name = [\"value\"]"},
	{"header as a string", convert.Containerd, "[plugins.cri.registry.headers]\nX-Token = \"hunter2\"\n", "config.toml:2:11: plugins.cri.registry.headers.X-Token: must be a list; write X-Name = [\"value\"]"},
	{"username as a table", convert.Containerd, "[plugins.cri.registry.configs.\"a.corp\".auth.username]\nx = 1\n", "config.toml:1:45: plugins.cri.registry.configs.\"a.corp\".auth.username: must be a string; put the value in quotes"},
}

func TestMistakes(t *testing.T) {
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			result, err := convertInput(m.format, []byte(m.input))
			if err == nil {
				t.Fatalf("accepted:\n%s", result.YAML)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a secret: %v", err)
			}
			if err.Error() != m.want {
				t.Errorf("got  %q\nwant %q", err.Error(), m.want)
			}
		})
	}
}

// TestSecretsNeverInErrors puts a secret at each byte of a valid input and checks that errors do
// not contain it.
func TestSecretsNeverInErrors(t *testing.T) {
	const secret = "Xq7hunter2"
	inputs := map[convert.Format]string{
		convert.RKE:        "private_registries:\n- url: a.corp\n  user: u\n  password: p\n",
		convert.K3s:        "mirrors:\n  docker.io: {endpoint: [\"https://m.corp\"]}\nconfigs:\n  a.corp: {auth: {username: u, password: \"p\"}}\n",
		convert.Containerd: "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"a.corp\".auth]\nusername = \"u\"\npassword = \"p\"\n",
		convert.Rancher:    "spec:\n  rkeConfig:\n    registries:\n      configs:\n        a.corp: {insecureSkipVerify: true, password: p}\n",
		convert.Docker:     "{\"registry-mirrors\": [\"https://m.corp\"], \"proxies\": {\"http-proxy\": \"http://u:password@p.corp\"}}\n",
		convert.CertsD:     "[host.\"https://m.corp\".header]\nAuthorization = \"Basic password\"\n",
	}
	for format, input := range inputs {
		// Text after "password" is a secret, with or without its quotes.
		start := strings.Index(input, "password") + len("password")
		refused := 0
		for at := start; at <= len(input); at++ {
			for _, around := range []string{"%s", "*%s", "@%s", "&%s ", "!%s ", "'%s", "\"%s", "\"%s\\q", ": %s", "[%s", "{%s", "\n%s", "\n\t%s", "= %s", "|%s", "#%s"} {
				text := input[:at] + strings.ReplaceAll(around, "%s", secret) + input[at:]
				result, err := convertInput(format, []byte(text))
				if err != nil {
					refused++
					if strings.Contains(err.Error(), secret) {
						t.Errorf("%s: %q: %v", format, text, err)
					}
				}
				// The secret may appear only as a value of the result.
				if words := comments(result.YAML) + fmt.Sprint(result.Lost); strings.Contains(words, secret) {
					t.Errorf("%s: %q: the words of the result hold it:\n%s\n%v", format, text, comments(result.YAML), result.Lost)
				}
				for _, l := range result.Lost {
					if format != convert.CertsD && (l.Field == "" || l.Line < 1 || l.Column < 1) || l.What == "" || l.Effect == "" {
						t.Errorf("%s: %q: incomplete: %#v", format, text, l)
					}
				}
			}
		}
		if refused == 0 {
			t.Errorf("%s: nothing was refused, so nothing was tested", format)
		}
	}
}

// TestSecretsNeverInWords puts a secret where people write logins by mistake: in an address, in a
// name, beside a field or instead of one.
func TestSecretsNeverInWords(t *testing.T) {
	const secret = "Xq7hunter2"
	refused := 0
	for _, input := range []struct {
		format convert.Format
		text   string
	}{
		{convert.K3s, `mirrors: {docker.io: {endpoint: ["https://u:Xq7hunter2@m.corp"]}}`},
		{convert.K3s, `mirrors: {docker.io: {endpoint: ["ftp://u:Xq7hunter2@m.corp"]}}`},
		{convert.K3s, `mirrors: {docker.io: {endpoint: ["u:Xq7hunter2@"]}}`},
		{convert.K3s, `mirrors: {docker.io: {endpoint: ["https://u:Xq7hunter2@m.corp:port"]}}`},
		{convert.K3s, `mirrors: {docker.io: {endpoint: ["https://m.corp/?token=Xq7hunter2"]}}`},
		{convert.K3s, `mirrors: {docker.io: {endpoint: ["https://m.corp#Xq7hunter2"]}}`},
		{convert.K3s, `mirrors: {"https://u:Xq7hunter2@m.corp": {endpoint: [m.corp]}}`},
		{convert.K3s, `mirrors: {"u:Xq7hunter2@m.corp": {endpoint: [m.corp]}}`},
		{convert.K3s, `configs: {"https://u:Xq7hunter2@m.corp": {auth: {username: u, password: p}}}`},
		{convert.K3s, `configs: {"https://u:Xq7hunter2@m.corp": {auth: {identity_token: p}, tls: {insecure_skip_verify: true}}}`},
		{convert.K3s, `configs: {a.corp: {auth: {Xq7hunter2}}}`},
		{convert.K3s, `configs: {a.corp: {auth: {username: u, password:Xq7hunter2}}}`},
		{convert.K3s, `configs: {a.corp: {auth: {Xq7hunter2: x}}}`},
		{convert.K3s, `configs: {a.corp: {auth: Xq7hunter2}}`},
		{convert.K3s, `configs: {a.corp: {auth: [Xq7hunter2]}}`},
		{convert.K3s, `configs: {a.corp: {auth: {auth: Xq7hunter2}}}`},
		{convert.K3s, `configs: {a.corp: {auth: {auth: {Xq7hunter2: 1}}}}`},
		{convert.K3s, `configs: {a.corp: {auth: {username: {Xq7hunter2: 1}}}}`},
		{convert.K3s, `configs: {a.corp: {password:Xq7hunter2}}`},
		{convert.K3s, `configs: {a.corp: {tls: {insecure_skip_verify: Xq7hunter2}}}`},
		{convert.K3s, `configs: {a.corp: Xq7hunter2}`},
		{convert.K3s, `{configs: {a.corp: {auth: {username: u, password: p}}}, password:Xq7hunter2}`},
		{convert.RKE, `private_registries: [{url: "https://u:Xq7hunter2@a.corp", user: u}]`},
		{convert.RKE, `private_registries: [{url: "oci://u:Xq7hunter2@a.corp"}]`},
		{convert.RKE, `private_registries: [{url: a.corp, password:Xq7hunter2}]`},
		{convert.RKE, `private_registries: [{url: a.corp, ecrCredentialPlugin: {Xq7hunter2: 1}}]`},
		{convert.RKE, `private_registries: [{url: a.corp, credentialPlugin: {type: Xq7hunter2}}]`},
		{convert.RKE, `services: {kubelet: {extra_env: ["AWS_SECRET_ACCESS_KEY=Xq7hunter2"]}}`},
		{convert.RKE, `services: {kubelet: {extra_env: ["AWS_PROFILE=Xq7hunter2", "Xq7hunter2"]}}`},
		{convert.Containerd, "[plugins.cri.registry.configs.'u:Xq7hunter2@a.corp'.auth]\npassword = 'p'"},
		{convert.Containerd, "[plugins.cri.registry.auths.'https://u:Xq7hunter2@a.corp']\npassword = 'p'"},
		{convert.Containerd, "[plugins.cri.registry.headers]\nAuthorization = ['Basic Xq7hunter2']"},
		{convert.Containerd, "[plugins.cri.registry.configs.'a.corp'.auth]\nXq7hunter2 = 'p'"},
		{convert.Rancher, `spec: {rkeConfig: {registries: {configs: {a.corp: {authConfigSecretName: s, password:Xq7hunter2}}}}}`},
		{convert.Docker, `{"registry-mirrors": ["https://u:Xq7hunter2@m.corp", "https://m.corp/?token=Xq7hunter2"], "insecure-registries": ["u:Xq7hunter2@m.corp"]}`},
		{convert.Docker, `{"registry-mirrors": ["https://m.corp"], "proxies": {"http-proxy": "http://u:Xq7hunter2@p.corp/path", "https-proxy": "ftp://Xq7hunter2@p.corp"}}`},
		{convert.Docker, `{"registry-mirrors": ["https://m.corp"], "proxies": {"http-proxy": ["Xq7hunter2"]}}`},
		{convert.Docker, `{"registry-mirrors": ["https://m.corp"], "proxies": {"Xq7hunter2": "x"}}`},
		{convert.Docker, `{"registry-mirrors": ["https://m.corp"], "proxies": "Xq7hunter2"}`},
		{convert.CertsD, "[host.'https://u:Xq7hunter2@m.corp']\ncapabilities = ['push']"},
		{convert.CertsD, "[host.'https://m.corp?token=Xq7hunter2']\nother = 1\ndial_timeout = '9m'"},
		{convert.CertsD, "[host.'https://m.corp']\ncapabilities = ['Xq7hunter2']"},
		{convert.CertsD, "server = 'https://u:Xq7hunter2@m.corp:port'\n[host]"},
		{convert.CertsD, "server = 'https://u:Xq7hunter2@docker.io'\n[host]"},
		{convert.CertsD, "[host.'https://m.corp'.header]\nAuthorization = 'Bearer Xq7hunter2'"},
		{convert.CertsD, "[host.'https://m.corp'.header]\nAuthorization = 'Basic Xq7hunter2'"},
		{convert.CertsD, "[host.'https://m.corp'.header]\n'Authorization: Basic Xq7hunter2' = ''"},
		{convert.CertsD, "[host.'https://m.corp'.header]\nX-Key = {Xq7hunter2 = 1}"},
		{convert.CertsD, "[header]\nX-Key = 'Xq7hunter2'\n[host.'https://m.corp']"},
		{convert.CertsD, "[host.'https://m.corp']\nca = ['Xq7hunter2', 'Xq7hunter2']"},
	} {
		result, err := convertInput(input.format, []byte(input.text))
		words := comments(result.YAML) + fmt.Sprint(result.Lost)
		if err != nil {
			refused++
			words += err.Error()
		}
		if strings.Contains(words, secret) {
			t.Errorf("%s: %s", input.text, words)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

func TestUnknownFormat(t *testing.T) {
	_, err := convert.Convert("podman", "registries.conf", nil, convert.Options{})
	if want := `format "podman": not known; use rke, k3s, containerd, rancher, docker or certs.d`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestErrorsHaveTheirType(t *testing.T) {
	_, err := convert.Convert(convert.RKE, "cluster.yml", []byte("private_registries: 1\n"), convert.Options{})
	var all config.Errors
	if !errors.As(err, &all) || len(all) != 1 || all[0].Line != 1 || all[0].Field != "private_registries" {
		t.Errorf("got %#v", err)
	}
}
