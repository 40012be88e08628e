package config

import (
	"bytes"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config/syntax"
)

// The limits of package syntax.
const (
	maxErrors = 500
	maxShown  = 120 // characters of a value
)

// TestText covers texts that an archive cannot hold.
func TestText(t *testing.T) {
	large := bytes.Repeat([]byte("# "+strings.Repeat("x", 61)+"\n"), 2<<20/64)
	for _, c := range []struct {
		name, document, want string
	}{
		{"no bytes", "", "config.yaml: is empty; begin with apiVersion: berth/v1alpha1 and kind: RegistryConfig"},
		{"2 MiB", string(large), "config.yaml: is larger than 1 MiB, the limit of a ConfigMap; is it the right file? Move secrets and certificates into files of their own"},
		{"an ELF binary", "\x7fELF\x02\x01\x00", "config.yaml:1:1: this is a binary file; a RegistryConfig is YAML text"},
		{"a gzip file", "\x1f\x8b\x08\x00", "config.yaml:1:1: this is a binary file; a RegistryConfig is YAML text"},
		{"a gzip file without a NUL", "\x1f\x8b\x08\x01ab", "config.yaml:1:1: this is a binary file; a RegistryConfig is YAML text"},
		{"a picture", "\x89PNG\r\n\x1a\n", "config.yaml:1:1: this is a binary file; a RegistryConfig is YAML text"},
		{"a NUL further on", head + "# \a\n\x00", "config.yaml:3:3: this is a binary file; a RegistryConfig is YAML text"},
		{"a NUL", head + "mirrors:\x00", "config.yaml:3:9: holds a NUL byte: this is a binary file; a RegistryConfig is YAML text"},
		{"a bell", head + "# ü\a", "config.yaml:3:4: control character U+0007; remove it"},
		{"Latin-1", head + "# \xfc", "config.yaml:3:3: byte 0xfc is not UTF-8; save the file as UTF-8"},
		{"half a rune", head + "# \xe2\x82", "config.yaml:3:3: byte 0xe2 is not UTF-8; save the file as UTF-8"},
		{"UTF-16", "\xff\xfea\x00", "config.yaml:1:1: is UTF-16; save it as UTF-8"},
		{"UTF-16, big endian", "\xfe\xff\x00a", "config.yaml:1:1: is UTF-16; save it as UTF-8"},
		{"a second BOM", head + "\ufeff", "config.yaml:3:1: control character U+FEFF; remove it"},
		{"deep flow", head + "mirrors: " + strings.Repeat("[", 20_000), "config.yaml:3:1: is nested too deep for a RegistryConfig"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, _, err := Parse("config.yaml", []byte(c.document))
			if err == nil || cfg != nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestTextAccepted covers the output of editors on other systems.
func TestTextAccepted(t *testing.T) {
	full := head + strings.Repeat("#", syntax.MaxSize-len(head))
	for name, document := range map[string]string{
		"BOM":             "\ufeff" + head,
		"CRLF":            strings.ReplaceAll(head, "\n", "\r\n"),
		"no last newline": strings.TrimSuffix(head, "\n"),
		"separator":       "---\n" + head + "...\n",
		"emoji":           head + "# 🚢\n",
		"exactly 1 MiB":   full,
		"a tab behind":    head + "mirrors:\t[]\t# none\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := Parse("config.yaml", []byte(document)); err != nil {
				t.Error(err)
			}
		})
	}
	_, _, err := Parse("config.yaml", []byte("\ufeff"+"apiVersion: v1\r\nkind: RegistryConfig\r\n"))
	if want := `config.yaml:1:13: apiVersion: "v1": must be berth/v1alpha1`; err == nil || err.Error() != want {
		t.Errorf("behind a BOM: got %v, want %s", err, want)
	}
}

// TestManyErrors checks that a report stays readable if everything is wrong.
func TestManyErrors(t *testing.T) {
	document := head + "mirrors:\n" + strings.Repeat("- {}\n", 2000)
	_, _, err := Parse("config.yaml", []byte(document))
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != maxErrors+1 || !strings.HasSuffix(lines[maxErrors], "only the first 500 errors are shown") {
		t.Errorf("%d lines, the last is %s", len(lines), lines[len(lines)-1])
	}
}

// TestLongValue checks that a wrong value of any length stays on one readable line.
func TestLongValue(t *testing.T) {
	_, _, err := Parse("config.yaml", []byte(head+"containerd: {certsDir: /"+strings.Repeat("ä", 5000)+"/}"))
	long := "/" + strings.Repeat("ä", maxShown-1) + "…"
	want := `config.yaml:3:24: containerd.certsDir: "` + long + `": must be a clean path; write ` + long
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
