package manifest

import (
	"strings"
	"testing"
)

func TestAttachedTags(t *testing.T) {
	hex := strings.Repeat("0a", 32)
	for tag, want := range map[string]bool{
		"sha256-" + hex: true, "sha256-" + hex + ".sig": true, "sha256-" + hex + ".att": true, "sha256-" + hex + ".sbom": true,
		"sha256-" + hex + ".other": false, "sha256-abc": false, "latest": false, "sha256-" + strings.Repeat("0x", 32): false, "": false,
	} {
		if got := IsAttachedTag(tag); got != want {
			t.Errorf("%q: %v", tag, got)
		}
	}
}
