package version

import "testing"

func TestOf(t *testing.T) {
	if got := Of("v1.2.3"); got != "v1.2.3" {
		t.Errorf("linked: %s", got)
	}
	// A test is built without a version.
	if got := Of(""); got == "" || got == "(devel)" {
		t.Errorf("not linked: %q", got)
	}
}
