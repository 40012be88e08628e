package release

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-registry/berth/test/gobuild"
	"github.com/berth-registry/berth/test/walkthrough"
)

const (
	statementFile = "berth_1.0.0_provenance.json"
	commit        = "0123456789abcdef0123456789abcdef01234567"
)

// page returns the shell blocks of a section of docs/verify.md.
func page(t *testing.T, section string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/verify.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## "+section+"\n")
	rest, _, _ = strings.Cut(rest, "\n## ")
	// Blocks in a list are indented.
	for _, b := range walkthrough.Blocks(regexp.MustCompile(`(?m)^ {3}`).ReplaceAllString(rest, "")) {
		if b.Info == "sh" {
			blocks = append(blocks, b.Text)
		}
	}
	return blocks
}

// site is a machine with releases of one signer, each in a directory, and the keys beside them.
type site struct {
	*testing.T
	dir, provenance string
}

// buildProvenance returns the path of the program that list.sh runs.
func buildProvenance(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "provenance")
	if err := gobuild.Programs(t.Context(), ".", file, "./provenance"); err != nil {
		t.Fatal(err)
	}
	return file
}

func newSite(t *testing.T, provenance string) *site {
	t.Helper()
	s := &site{T: t, dir: t.TempDir(), provenance: provenance}
	for _, name := range []string{"release", "other"} {
		// The page encrypts the key, and openssl would ask for a password.
		for _, block := range page(t, "Sign") {
			commands := strings.ReplaceAll(block, " -aes256", "")
			commands = strings.NewReplacer("release.key", name+".key", "release.pub", name+".pub").Replace(commands)
			if out, err := s.shell(s.dir, commands); err != nil {
				t.Fatalf("%s: %v\n%s", commands, err, out)
			}
		}
	}
	return s
}

func (s *site) shell(dir, commands string) (string, error) {
	cmd := exec.CommandContext(s.Context(), "sh", "-c", commands)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *site) write(file, content string) {
	s.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, file), []byte(content), 0o600); err != nil {
		s.Fatal(err)
	}
}

func (s *site) read(file string) string {
	s.Helper()
	raw, err := os.ReadFile(filepath.Join(s.dir, file))
	if err != nil {
		s.Fatal(err)
	}
	return string(raw)
}

// replace replaces text of a file; the file must have it.
func (s *site) replace(file, old, new string) {
	s.Helper()
	text := s.read(file)
	if !strings.Contains(text, old) {
		s.Fatalf("%s has no %q", file, old)
	}
	s.write(file, strings.ReplaceAll(text, old, new))
}

// digest is the SHA-256 that a release lists for a file.
func (s *site) digest(release, file string) string {
	s.Helper()
	m := regexp.MustCompile(`(?m)^([0-9a-f]{64})  ` + regexp.QuoteMeta(file) + `$`).FindStringSubmatch(s.read(release + "/SHA256SUMS"))
	if m == nil {
		s.Fatalf("%s: no digest of %s", release, file)
	}
	return m[1]
}

// list makes a release with three files, unsigned.
func (s *site) list(release, content, commit string) {
	s.Helper()
	if err := os.Mkdir(filepath.Join(s.dir, release), 0o700); err != nil {
		s.Fatal(err)
	}
	for _, name := range []string{"berth_1.0.0_linux_amd64.tar.gz", "berth_1.0.0-1_amd64.deb", "berth-1.0.0.tgz"} {
		s.write(release+"/"+name, name+" "+content)
	}
	cmd := exec.CommandContext(s.Context(), "./list.sh", filepath.Join(s.dir, release))
	cmd.Env = append(os.Environ(), "VERSION=v1.0.0", "COMMIT="+commit, "SOURCE_DATE_EPOCH=1700000000", "PROVENANCE="+s.provenance)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("list.sh: %v\n%s", err, out)
	}
}

func (s *site) sign(release, key string) error {
	out, err := exec.CommandContext(s.Context(), "./sign.sh", filepath.Join(s.dir, release), filepath.Join(s.dir, key)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("sign.sh: %w\n%s", err, out)
	}
	return nil
}

// verify follows the page in the directory of a release. It returns the number of the step that
// refuses, 0 if none does.
func (s *site) verify(release string) (refuses int, output string) {
	s.Helper()
	all := page(s.T, "The steps")
	if len(all) != 4 {
		s.Fatalf("docs/verify.md has %d steps, want 4", len(all))
	}
	for i, step := range all {
		if output, err := s.shell(filepath.Join(s.dir, release), step); err != nil {
			return i + 1, output
		}
	}
	return 0, ""
}

// TestVerify: the steps of the page accept a release, and refuse one with anything else in it.
func TestVerify(t *testing.T) {
	provenance := buildProvenance(t)
	const deb = "berth_1.0.0-1_amd64.deb"
	for name, c := range map[string]struct {
		change  func(*site)
		refuses int // the step
	}{
		"as it was made":             {func(*site) {}, 0},
		"only the file that is used": {func(s *site) { s.remove("r/berth-1.0.0.tgz") }, 0},
		"altered file":               {func(s *site) { s.replace("r/"+deb, "good", "evil") }, 2},
		"file that was not released": {func(s *site) { s.write("r/berth_1.0.1-1_amd64.deb", "evil") }, 2},
		"altered file and list": {func(s *site) {
			s.replace("r/"+deb, "good", "evil")
			s.replace("r/SHA256SUMS", s.digest("r", deb), strings.Repeat("0", 64))
		}, 1},
		"file that is not in the list": {func(s *site) {
			s.replace("r/SHA256SUMS", s.digest("r", deb)+"  "+deb+"\n", "")
		}, 1},
		"empty list":                   {func(s *site) { s.write("r/SHA256SUMS", "") }, 1},
		"signature of another release": {func(s *site) { s.write("r/SHA256SUMS.sig", s.read("later/SHA256SUMS.sig")) }, 1},
		"no signature":                 {func(s *site) { s.remove("r/SHA256SUMS.sig") }, 1},
		"another key":                  {func(s *site) { s.write("release.pub", s.read("other.pub")) }, 1},
		"signed with another key": {func(s *site) {
			if err := s.sign("r", "other.key"); err != nil {
				s.Fatal(err)
			}
		}, 1},
		"list and signature of another release": {func(s *site) {
			s.write("r/SHA256SUMS", s.read("later/SHA256SUMS"))
			s.write("r/SHA256SUMS.sig", s.read("later/SHA256SUMS.sig"))
		}, 2},
		"altered provenance": {func(s *site) { s.replace("r/"+statementFile, commit, strings.Repeat("f", 40)) }, 2},
		"signed provenance that names another digest": {func(s *site) {
			s.resign(s.digest("r", deb), strings.Repeat("0", 64))
		}, 3},
		"signed provenance that names no file": {func(s *site) { s.resign(`"name"`, `"file"`) }, 3},
		"envelope of another release": {func(s *site) {
			s.write("r/provenance.intoto.jsonl", s.read("later/provenance.intoto.jsonl"))
		}, 4},
		"envelope with the signature of another one": {func(s *site) {
			sig := regexp.MustCompile(`"sig":"[^"]*"`)
			s.write("r/provenance.intoto.jsonl", sig.ReplaceAllString(s.read("r/provenance.intoto.jsonl"), sig.FindString(s.read("later/provenance.intoto.jsonl"))))
		}, 4},
		"envelope without a signature": {func(s *site) { s.replace("r/provenance.intoto.jsonl", `"sig":`, `"none":`) }, 4},
		"empty envelope":               {func(s *site) { s.write("r/provenance.intoto.jsonl", "") }, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, provenance)
			for _, release := range []string{"r", "later"} {
				s.list(release, map[string]string{"r": "good", "later": "newer"}[release], commit)
				if err := s.sign(release, "release.key"); err != nil {
					t.Fatal(err)
				}
			}
			c.change(s)
			if got, output := s.verify("r"); got != c.refuses {
				t.Errorf("step %d refuses, want %d (0: none)\n%s", got, c.refuses, output)
			}
		})
	}
}

func (s *site) remove(file string) {
	s.Helper()
	if err := os.Remove(filepath.Join(s.dir, file)); err != nil {
		s.Fatal(err)
	}
}

// resign signs a release with a statement that was altered before.
func (s *site) resign(old, new string) {
	s.Helper()
	s.replace("r/"+statementFile, old, new)
	if out, err := s.shell(filepath.Join(s.dir, "r"), "LC_ALL=C; export LC_ALL; sha256sum berth* >SHA256SUMS"); err != nil {
		s.Fatal(err, out)
	}
	if err := s.sign("r", "release.key"); err != nil {
		s.Fatal(err)
	}
}

// TestSignRefuses: a key that others can read, or would get, signs nothing; nor is anything signed
// that does not fit.
func TestSignRefuses(t *testing.T) {
	provenance := buildProvenance(t)
	for name, c := range map[string]struct {
		change func(*site)
		key    string
		says   string
	}{
		"no key":               {func(*site) {}, "nothing.key", "openssl genpkey"},
		"a key that all read":  {func(s *site) { s.chmod("release.key", 0o644) }, "release.key", "chmod 600"},
		"a key in the release": {func(s *site) { s.write("r/my.key", s.read("release.key")) }, "r/my.key", "move it"},
		"a public key":         {func(*site) {}, "release.pub", "private key"},
		"a key of another kind": {func(s *site) {
			if out, err := s.shell(s.dir, "openssl genpkey -algorithm ED25519 -out ed.key && chmod 600 ed.key"); err != nil {
				s.Fatal(err, out)
			}
		}, "ed.key", "EC P-256"},
		"an altered file": {func(s *site) { s.write("r/berth-1.0.0.tgz", "evil") }, "release.key", "does not fit"},
		"a file too many": {func(s *site) { s.write("r/berth-2.0.0.tgz", "evil") }, "release.key", "does not fit"},
		"no list":         {func(s *site) { s.remove("r/SHA256SUMS") }, "release.key", "make release"},
		"changes in the checkout": {func(s *site) {
			if err := os.RemoveAll(filepath.Join(s.dir, "r")); err != nil {
				s.Fatal(err)
			}
			s.list("r", "good", "")
		}, "release.key", "commit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, provenance)
			s.list("r", "good", commit)
			s.chmod("release.pub", 0o600)
			c.change(s)
			err := s.sign("r", c.key)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("it ends with %v, want a message with %q", err, c.says)
			}
			for _, file := range []string{"SHA256SUMS.sig", "provenance.intoto.jsonl"} {
				if _, err := os.Stat(filepath.Join(s.dir, "r", file)); err == nil {
					t.Errorf("%s is there", file)
				}
			}
		})
	}
}

func (s *site) chmod(file string, mode os.FileMode) {
	s.Helper()
	if err := os.Chmod(filepath.Join(s.dir, file), mode); err != nil {
		s.Fatal(err)
	}
}
