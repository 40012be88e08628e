package convert_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/config/convert"
)

// TestBounds converts inputs made to take much time or memory. Each must return soon, with an error
// or a result.
func TestBounds(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&bomb, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), ","))
	}
	many := func(line string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, line, i)
		}
		return b.String()
	}
	for _, test := range []struct {
		name   string
		format convert.Format
		input  string
		want   string // part of the error, "" for none
	}{
		{"too large", convert.RKE, strings.Repeat("#", convert.MaxInput+1), "cluster.yml: is larger than 4 MiB"},
		{"as large as may be", convert.RKE, strings.Repeat("#", convert.MaxInput-3) + "\n{}", "names no private_registries"},
		{"bomb that is not looked at", convert.RKE, bomb.String() + "private_registries: [{url: a.corp}]\n", ""},
		{"bomb in the registries", convert.RKE, bomb.String() + "private_registries: *a11\n", "expands to more than 100000 values"},
		{"bomb", convert.K3s, bomb.String(), "expands to more than 100000 values"},
		{"nested yaml", convert.K3s, strings.Repeat("[", 2<<20), "is not valid YAML"},
		{"nested mappings", convert.K3s, strings.Repeat("{a: ", 5000) + strings.Repeat("}", 5000), "nests deeper than 64 levels"},
		{"nested toml", convert.Containerd, "a = " + strings.Repeat("[", 2<<20), "is not valid TOML"},
		{"dotted toml", convert.Containerd, "a" + strings.Repeat(".a", 1<<20) + " = 1", "config.toml: has more than 10000 keys"},
		{"long toml key", convert.Containerd, "a" + strings.Repeat(".a", 9_000) + " = 1", "has no registry settings"},
		{"many toml keys", convert.Containerd, many("key%d = 1\n", 200_000), "config.toml: has more than 10000 keys"},
		{"wide inline table", convert.Containerd, "a = {" + strings.TrimSuffix(many("k%d = 1, ", 9_000), ", ") + "}", "has no registry settings"},
		{"wide array", convert.Containerd, "a = [" + many("%d, ", 100_000) + "]", "has no registry settings"},
		{"fewer mirrors", convert.Containerd, "version = 2\n" + many("[plugins.'io.containerd.grpc.v1.cri'.registry.mirrors.'r%d.corp']\nendpoint = ['https://m.corp']\n", 3_000), ""},
		{"many yaml keys", convert.RKE, many("key%d: 1\n", 50_000), "names no private_registries"},
		{"many registries", convert.RKE, "private_registries:\n" + many("- {url: r%d.corp, is_default: true}\n", 20_000), "result would be larger than the 1 MiB"},
		{"many mirrors", convert.Containerd, "version = 2\n" + many("[plugins.'io.containerd.grpc.v1.cri'.registry.mirrors.'r%d.corp']\nendpoint = ['https://m.corp']\n", 30_000), "config.toml: has more than 10000 keys"},
		{"many mistakes", convert.K3s, "configs:\n" + many("  r%d.corp: x\n", 10_000), `configs["r0.corp"]: must be a mapping`},
		{"nested hosts.toml", convert.CertsD, "a = " + strings.Repeat("[", 2<<20), "is not valid TOML"},
		{"large hosts.toml", convert.CertsD, many("[host.'https://m%d.corp']\n", 3_000), ""},
		{"many directories", convert.CertsD, many("-- r%d.corp/hosts.toml --\nserver = 'https://m.corp'\n[host]\n", 200), ""},
		{"nested daemon.json", convert.Docker, strings.Repeat("[", 2<<20), "is not valid JSON"},
		{"many losses", convert.K3s, "configs:\n" + many("  r%d.corp: {auth: {identity_token: x}}\n", 1_000), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			begin := time.Now()
			result, err := convertInput(test.format, []byte(test.input))
			// Seconds on an idle machine; without the limits it would be hours.
			if took := time.Since(begin); took > 10*time.Minute {
				t.Errorf("took %v", took)
			}
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want == "":
				if _, _, err := config.Parse("converted.yaml", result.YAML); err != nil {
					t.Error(err)
				}
			case err == nil || !strings.Contains(err.Error(), test.want):
				t.Errorf("got %.300v, want something with %q", err, test.want)
			case len(err.Error()) > 20_000:
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

// TestOddFiles converts a directory with entries that must not be opened. A fifo would block.
func TestOddFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"docker.io", "quay.io", "ghcr.io/hosts.toml", "large.corp"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "docker.io", "hosts.toml"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"quay.io": "[host.\"https://m.corp\"]\n", "large.corp": strings.Repeat("#", 1<<20+1)} {
		if err := os.WriteFile(filepath.Join(dir, name, "hosts.toml"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("absent", filepath.Join(dir, "gone.corp")); err != nil {
		t.Fatal(err)
	}
	result, err := convert.Directory(convert.CertsD, dir, os.DirFS(dir), convert.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var lost []string
	for _, l := range result.Lost {
		lost = append(lost, l.File+": "+l.What)
	}
	want := []string{
		"docker.io/hosts.toml: cannot be read: it is not a regular file",
		"ghcr.io/hosts.toml: cannot be read: it is not a regular file",
		"gone.corp: cannot be read: no such file or directory",
		"large.corp/hosts.toml: cannot be read: it is larger than 1 MiB",
	}
	if !slices.Equal(lost, want) || !bytes.Contains(result.YAML, []byte("upstream: quay.io")) {
		t.Errorf("lost %q\n%s", lost, result.YAML)
	}
}

// TestLineEndings converts a file with the line ends of another system.
func TestLineEndings(t *testing.T) {
	for format, input := range map[convert.Format]string{
		convert.RKE:        "private_registries:\n- url: a.corp\n  user: u\n  password: p\n",
		convert.K3s:        "mirrors:\n  docker.io:\n    endpoint: [\"https://m.corp\"]\n",
		convert.Containerd: "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry.mirrors.'docker.io']\nendpoint = ['https://m.corp']\n",
	} {
		want, err := convert.Convert(format, "input", []byte(input), convert.Options{})
		if err != nil {
			t.Fatal(err)
		}
		windows := "\ufeff" + strings.ReplaceAll(input, "\n", "\r\n")
		got, err := convert.Convert(format, "input", []byte(windows), convert.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.YAML, want.YAML) {
			t.Errorf("%s: got\n%s\nwant\n%s", format, got.YAML, want.YAML)
		}
	}
}

// TestNamesInComments checks that neither the file name nor the secrets directory can end its
// comment.
func TestNamesInComments(t *testing.T) {
	input := []byte("private_registries:\n- {url: a.corp, user: u, password: p}\n")
	result, err := convert.Convert(convert.RKE, "a\nkind: Other\u2028\u0085.yml", input, convert.Options{SecretsDir: "/srv/secrets"})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(result.YAML, []byte("# RegistryConfig of Berth, converted from a?kind: Other??.yml (RKE).")) {
		t.Errorf("the name is not in its place:\n%s", result.YAML)
	}
	if !bytes.Contains(result.YAML, []byte("#   install -d -m 0700 /srv/secrets\n")) {
		t.Errorf("the directory is not named:\n%s", result.YAML)
	}
	parse(t, "", result.YAML)
}

// TestPasswords converts passwords that YAML would read as another type.
func TestPasswords(t *testing.T) {
	for _, password := range []string{
		"true", "null", "~", "no", "Y", "12", "0x1F", "0o17", "1e3", ".5", "1.5", "1_000", "12:30:45", "2001-01-01", "-", "- a", ": b", "a: b", "a #b", "#", "*a", "&a",
		"!a", "!!int 3", "|", ">", "%", "@", "`", "'", `"`, `\`, `\n`, " a", "a ", "  ", "{a}", "[a]", "a,b", "?", "? a", "<<", "=", "ä", "日本", "\u2028", "\ufeff", "\ufffd", "\U0001F511",
		"---", "...", "--- a", strings.Repeat("long word ", 50), strings.Repeat("x", 5000), "a:", ".inf", ".nan", "0b1", "+1", "1.1.1.1",
	} {
		// Go's %+q quoting is valid in YAML and in TOML.
		for format, input := range map[convert.Format]string{
			convert.K3s:        fmt.Sprintf("configs: {a.corp: {auth: {username: u, password: %+q}}}", password),
			convert.Containerd: fmt.Sprintf("[plugins.cri.registry.configs.'a.corp'.auth]\nusername = 'u'\npassword = %+q", password),
		} {
			result, err := convert.Convert(format, "input", []byte(input), convert.Options{})
			if err != nil {
				t.Errorf("%s: %q: %v", format, password, err)
				continue
			}
			cfg := parse(t, "", result.YAML)
			if len(result.Lost) > 0 || len(cfg.Registries) != 1 || cfg.Registries[0].Password.Reveal() != password {
				t.Errorf("%s: %q is not carried over (%v):\n%s", format, password, result.Lost, result.YAML)
			}
		}
	}
}
