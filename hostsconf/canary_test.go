package hostsconf

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/internal/tomldoc"
)

// TestNoSecretOfAForeignFileIsShown puts a secret into every place of foreign hosts.toml files:
// names, values, comments, other types. Neither the diff of a plan that adopts the file nor the
// reason why it is not read may repeat the secret.
func TestNoSecretOfAForeignFileIsShown(t *testing.T) {
	const canary = "hunter2kanary"
	forms := []string{
		canary, "puller:" + canary, "https://puller:" + canary + "@x.corp", "https://x.corp/?token=" + canary, "Basic " + canary,
		base64.StdEncoding.EncodeToString([]byte("puller:" + canary)),
	}
	encoded := base64.StdEncoding.EncodeToString([]byte("puller:" + canary))[4:24]
	files := []string{
		"# a comment @\nserver = \"https://quay.io\" # @\n[host.\"https://m.corp\"]\n  capabilities = [\"pull\", \"resolve\"]\n" +
			"  ca = \"/etc/ca.crt\"\n  client = [[\"/etc/c.crt\", \"/etc/c.key\"]]\n  skip_verify = true\n  dial_timeout = \"2s\"\n" +
			"  override_path = true\n  [host.\"https://m.corp\".header]\n    X-Org = [\"a\", # @\n \"b\"]\n    Authorization = \"Basic eA==\"\n",
		"server = 'https://quay.io'\nhost.\"https://m.corp\" = {header = {User-Agent = \"a\", Accept = '''b'''}, x-password = 1}\n",
		"[[registry]]\nlocation = \"a\"\n[registry.auth]\nusername = \"b\"\npassword = \"\"\"\nc\"\"\"\nsince = 2020-01-01\n",
		"{\"auths\": {\"x\": {\"auth\": \"a\"}}}",
	}
	dir := Directory{Upstream: "quay.io", Hosts: []Host{mirror(t, "m.corp")}}
	desired, err := Build(certsDir, []Directory{dir})
	if err != nil {
		t.Fatal(err)
	}
	ours := desired.files[len(desired.files)-1]
	tried, certs := 0, t.TempDir()
	if err := os.MkdirAll(filepath.Join(certs, "quay.io"), 0o755); err != nil {
		t.Fatal(err)
	}
	check := func(content string) {
		tried++
		var out strings.Builder
		for _, change := range []Change{
			{Action: managedfile.Adopt, Before: managedfile.Observed{Owner: managedfile.Foreign}},
			{Action: managedfile.Conflict, Before: managedfile.Observed{Owner: managedfile.Foreign}},
			{Action: managedfile.Repair, Before: managedfile.Observed{Owner: managedfile.Edited}},
		} {
			change.Path, change.After = ours.Path, &ours
			change.Before.Path, change.Before.Kind, change.Before.Content = ours.Path, nodefs.Regular, []byte(content)
			err := WriteDiff(&out, desired, []Change{change}, func(_, s string) string { return s })
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(certs, "quay.io", fileName), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Lookup(certs, "quay.io")
		if err != nil {
			fmt.Fprintln(&out, err)
		}
		theirs := &foreign{dir: certs, hostDir: certsDir}
		defer theirs.close()
		fmt.Fprintln(&out, r.Ignored, theirs.resolve("quay.io", "quay.io").Ignored)
		if output := out.String(); strings.Contains(strings.ToLower(output), canary) || strings.Contains(output, encoded) {
			t.Fatalf("a secret of\n%s\nis in\n%s", content, output)
		}
	}
	for _, file := range files {
		for _, form := range forms {
			check(strings.ReplaceAll(file, "@", form))
			file := strings.ReplaceAll(file, "@", "")
			tokens, _ := tokensOf([]byte(file))
			for i, at := range tokens {
				written := []string{"'" + form + "'", "[" + tomldoc.Quote(form) + "]", tomldoc.Quote(form) + " # " + form, form}[i%4]
				check(file[:at.start] + written + file[at.end:])
				check(file[:at.start] + tomldoc.Quote(form) + file[at.end:])
			}
			for i := range file {
				if file[i] == '\n' {
					check(file[:i] + " # " + form + file[i:])
					check(file[:i] + "\npassword = " + tomldoc.Quote(form) + file[i:])
				}
			}
		}
	}
	if tried < 500 {
		t.Errorf("only %d files were tried", tried)
	}
}
