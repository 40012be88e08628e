package manifest

import "testing"

func TestParsePlatform(t *testing.T) {
	for in, want := range map[string]string{
		"linux/amd64": "linux/amd64", "linux/aarch64": "linux/arm64", "Linux/ARM/v7": "linux/arm/v7", "linux/armhf": "linux/arm/v7",
		"linux": "", "linux/": "", "a/b/c/d": "", "": "", "linux/amd 64": "", "linux/\x1b": "",
	} {
		p, err := ParsePlatform(in)
		if (err == nil) != (want != "") || err == nil && p.String() != want {
			t.Errorf("%q: %q %v, want %q", in, p, err, want)
		}
	}
}
