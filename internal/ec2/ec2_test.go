package ec2

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMetadata(t *testing.T) {
	for value, want := range map[string]string{
		"":                        "http://169.254.169.254",
		"http://[fd00:ec2::254]/": "http://[fd00:ec2::254]",
	} {
		base, named := Metadata(func(name string) string { return map[string]string{EnvMetadata: value}[name] })
		if base != want || named != (value != "") {
			t.Errorf("%q: %s, %t", value, base, named)
		}
	}
}

func TestDetected(t *testing.T) {
	for name, c := range map[string]struct {
		file, content string
		want          bool
	}{
		"Nitro":            {"class/dmi/id/sys_vendor", "Amazon EC2\n", true},
		"UUID":             {"class/dmi/id/product_uuid", "EC2E1916-9099-7CAF-FD21-012345ABCDEF\n", true},
		"Xen":              {"hypervisor/uuid", "ec2e1916-9099-7caf-fd21-012345abcdef\n", true},
		"nothing":          {"class/dmi/id/board_name", "Amazon EC2\n", false},
		"another vendor":   {"class/dmi/id/sys_vendor", "QEMU\n", false},
		"another UUID":     {"class/dmi/id/product_uuid", "1916EC2E-9099-7CAF-FD21-012345ABCDEF\n", false},
		"another Xen":      {"hypervisor/uuid", "00000000-0000-0000-0000-000000000000\n", false},
		"in the middle":    {"class/dmi/id/sys_vendor", "not Amazon EC2\n", false},
		"sign of the UUID": {"class/dmi/id/sys_vendor", "EC2\n", false},
		"empty":            {"class/dmi/id/sys_vendor", "", false},
	} {
		sys := t.TempDir()
		file := filepath.Join(sys, c.file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := Detected(sys); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if Detected(filepath.Join(t.TempDir(), "missing")) {
		t.Error("without /sys")
	}
}
