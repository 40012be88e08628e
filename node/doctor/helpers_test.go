package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node"
)

func TestHelpers(t *testing.T) {
	root, err := nodefs.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	program := filepath.Join(t.TempDir(), "docker-credential-x")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho canary; exit 4\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	examine := func(helper, says string) {
		cfg := config.Default()
		cfg.Registries = []config.Registry{{Host: "registry.corp", CredentialHelper: helper}}
		e := &examination{Input: Input{Machine: node.Machine{Root: root}, Config: cfg}}
		e.helpers(t.Context())
		if len(e.findings) != 1 || e.findings[0].Level != Fail || !strings.Contains(e.findings[0].Detail, says) ||
			strings.Contains(e.findings[0].Detail, "canary") {
			t.Errorf("%+v", e.findings)
		}
	}
	examine(program, "exit code 4")
	examine("/nowhere/docker-credential-x", "does not exist")
}
