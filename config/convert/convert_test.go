package convert_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/config/convert"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden converts every testdata/<format>/<name>.in. The output and the losses must equal the
// golden files, and config.Parse must accept the output.
func TestGolden(t *testing.T) {
	certs := writeCertificates(t)
	total := 0
	for _, format := range convert.Formats() {
		inputs, err := filepath.Glob(filepath.Join("testdata", string(format), "*.in"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range inputs {
			total++
			name := strings.TrimSuffix(filepath.Base(path), ".in")
			t.Run(string(format)+"/"+name, func(t *testing.T) {
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				got, err := convertInput(format, data)
				if err != nil {
					t.Fatal(err)
				}
				golden(t, strings.TrimSuffix(path, ".in")+".yaml", got.YAML)
				var lost bytes.Buffer
				for _, l := range got.Lost {
					lost.WriteString(l.String() + "\n")
				}
				golden(t, strings.TrimSuffix(path, ".in")+".lost", lost.Bytes())
				if strings.Contains(comments(got.YAML)+lost.String(), "hunter2") {
					t.Error("a secret stands in a comment or loss")
				}
				again, err := convertInput(format, data)
				if err != nil || !bytes.Equal(again.YAML, got.YAML) {
					t.Errorf("a second run gives another result (error %v)", err)
				}
				parse(t, certs, got.YAML)
			})
		}
	}
	if total < 25 {
		t.Errorf("only %d inputs were found", total)
	}
}

// parse parses a result after putting the certificates of testdata in place.
func parse(t *testing.T, certs string, yaml []byte) *config.Config {
	t.Helper()
	placed := certificateField.ReplaceAllStringFunc(string(yaml), func(field string) string {
		name, _, _ := strings.Cut(field, ":")
		return name + ": " + certs + "/" + map[string]string{"caFile": "ca.pem", "certFile": "cert.pem", "keyFile": "key.pem"}[name]
	})
	cfg, _, err := config.Parse("converted.yaml", []byte(placed))
	if err != nil {
		t.Fatalf("config.Parse refuses the result: %v\n%s", err, yaml)
	}
	return cfg
}

// certificateField matches a field that names one of the certificates of testdata.
var certificateField = regexp.MustCompile(`(caFile|certFile|keyFile): "?/etc/certs/.*`)

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if len(got) == 0 {
			if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			return
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update rewrites it)\n--- got\n%s\n--- want\n%s", path, got, want)
	}
}

// comments returns the comment lines of a YAML document.
func comments(yaml []byte) string {
	var out strings.Builder
	for line := range strings.Lines(string(yaml)) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			out.WriteString(line)
		}
	}
	return out.String()
}
