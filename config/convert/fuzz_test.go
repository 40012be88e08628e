package convert_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/config/convert"
)

func FuzzRKE(f *testing.F)        { fuzz(f, convert.RKE) }
func FuzzK3s(f *testing.F)        { fuzz(f, convert.K3s) }
func FuzzContainerd(f *testing.F) { fuzz(f, convert.Containerd) }
func FuzzRancher(f *testing.F)    { fuzz(f, convert.Rancher) }
func FuzzDocker(f *testing.F)     { fuzz(f, convert.Docker) }
func FuzzCertsD(f *testing.F)     { fuzz(f, convert.CertsD) }

// fuzz checks that no input makes Convert panic, and that config.Parse accepts every result except
// for certificate files that are missing on this machine.
func fuzz(f *testing.F, format convert.Format) {
	seeds, err := filepath.Glob(filepath.Join("testdata", string(format), "*.in"))
	if err != nil {
		f.Fatal(err)
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, path := range seeds {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, m := range mistakes {
		if m.format == format {
			f.Add([]byte(m.input))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		result, err := convertInput(format, data)
		if err != nil {
			var all config.Errors
			if !errors.As(err, &all) {
				t.Fatalf("%q: the error has another type: %v", data, err)
			}
			return
		}
		_, _, err = config.Parse("converted.yaml", result.YAML)
		var all config.Errors
		if errors.As(err, &all) {
			for _, e := range all {
				if !fileOfTLS.MatchString(e.Field) {
					t.Errorf("%q: config.Parse refuses the result: %v\n%s", data, e, result.YAML)
				}
			}
		} else if err != nil {
			t.Errorf("%q: %v", data, err)
		}
	})
}

var fileOfTLS = regexp.MustCompile(`^registries\[\d+\]\.tls\.(caFile|certFile|keyFile)$`)
