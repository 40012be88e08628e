package cluster

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"os/exec"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/berth-registry/berth/test/e2e/parts"
	"github.com/berth-registry/berth/test/e2e/registry"
)

// TestImage builds the image for another architecture than that of this machine: it holds static
// programs of that architecture and no other programs.
func TestImage(t *testing.T) {
	set, err := parts.Locate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	store, err := registry.Start(t.Context(), set.Registry, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	reference := store.Addr() + "/berth:other"
	if out, err := exec.CommandContext(t.Context(), "./image.sh", t.TempDir(), reference, "arm64").CombinedOutput(); err != nil {
		t.Fatalf("image.sh: %v\n%s", err, out)
	}
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != "linux" || config.Architecture != "arm64" || config.Config.User != "0:0" || !slices.Equal(config.Config.Entrypoint, []string{"/berth"}) {
		t.Errorf("%s/%s, user %s, entry point %q", config.OS, config.Architecture, config.Config.User, config.Config.Entrypoint)
	}
	files := mutate.Extract(img)
	defer files.Close()
	var names []string
	for r := tar.NewReader(files); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		names = append(names, h.Name)
		if h.Mode&0o111 != 0 {
			static(t, h.Name, r)
		}
	}
	slices.Sort(names)
	if want := []string{"berth", "berth-credential-provider", "berth-ecr-token", "ca-certificates.crt", "docker-credential-berth"}; !slices.Equal(names, want) {
		t.Errorf("the image holds %q, want %q", names, want)
	}
}

// static checks that a program is of the other architecture and needs neither a loader nor a
// library.
func static(t *testing.T, name string, r io.Reader) {
	t.Helper()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	program, err := elf.NewFile(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if program.Machine != elf.EM_AARCH64 {
		t.Errorf("%s is for %s", name, program.Machine)
	}
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("%s asks for a loader", name)
		}
	}
}
