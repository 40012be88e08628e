package reference_test

import (
	"testing"

	"github.com/berth-registry/berth/images/reference"
)

func TestParseLocation(t *testing.T) {
	for in, want := range map[string]string{
		"registry.corp:5000": "registry.corp:5000", "registry.corp/mirror/": "registry.corp/mirror", "oci:dir": "oci:dir", "oci:/abs/dir": "oci:/abs/dir",
		"oci:": "", "": "", "https://registry.corp": "", "registry.corp/x:tag": "",
	} {
		l, err := reference.ParseLocation(in)
		if (err == nil) != (want != "") || err == nil && l.String() != want {
			t.Errorf("%q: %q %v, want %q", in, l, err, want)
		}
	}
}
