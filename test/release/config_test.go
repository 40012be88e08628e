package release

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/berth-registry/berth/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The config of the package is valid and changes nothing; the example in its comments, a mirror
// with a login, is valid too.
func TestStockConfig(t *testing.T) {
	const file = "../../manifests/packaging/config.yaml"
	stock, warnings, err := config.Load(file)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if len(stock.Mirrors)+len(stock.Registries) > 0 || stock.DefaultRegistry != nil {
		t.Errorf("it asks for something: %+v", stock)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, example, found := strings.Cut(string(text), "# mirrors:")
	if !found {
		t.Fatal("there is no example")
	}
	example = regexp.MustCompile("(?m)^# ?").ReplaceAllString("# mirrors:"+example, "")
	example = regexp.MustCompile(`/etc/berth/secrets/\S+`).ReplaceAllString(example, password)
	filled := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(filled, []byte(before+example), 0o600); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := config.Load(filled)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v %v\n%s", err, warnings, example)
	}
	if len(c.Mirrors) != 1 || len(c.Registries) != 1 {
		t.Errorf("the example gives %d mirrors and %d registries", len(c.Mirrors), len(c.Registries))
	}
}
