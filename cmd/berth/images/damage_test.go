package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berth-registry/berth/images/bundle"
)

// usbStick makes a directory and a file whose index names an image; list needs no more of it.
func usbStick(t *testing.T, image string) {
	t.Helper()
	index := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":2,`+
		`"digest":"sha256:%064d","annotations":{"org.opencontainers.image.ref.name":%q}}]}`, 1, image)
	if err := errors.Join(
		os.Mkdir("usb-stick", 0o755),
		os.WriteFile("usb-stick/oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600),
		os.WriteFile("usb-stick/index.json", []byte(index), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	w, err := bundle.Create("images.tar.zst", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Finish(t.Context(), bundle.Plan{Index: []byte(index)}), w.Close()); err != nil {
		t.Fatal(err)
	}
}

// damage DIR cut|alter|lose damages a layer in an OCI layout that several images share: it is cut
// off after a byte, one byte is another one, or the file is gone.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: damage DIR cut|alter|lose")
	}
	dir := ts.MkAbs(args[0])
	file := func(digest string) string {
		return filepath.Join(dir, "blobs", strings.Replace(digest, ":", "/", 1))
	}
	type list struct {
		Manifests, Layers []struct{ Digest string }
	}
	read := func(name string) (l list) {
		raw, err := os.ReadFile(name)
		ts.Check(err)
		ts.Check(json.Unmarshal(raw, &l))
		return l
	}
	uses := map[string]int{}
	var shared []string
	for _, m := range read(filepath.Join(dir, "index.json")).Manifests {
		for _, layer := range read(file(m.Digest)).Layers {
			if uses[layer.Digest]++; uses[layer.Digest] == 2 {
				shared = append(shared, layer.Digest)
			}
		}
	}
	if len(shared) == 0 {
		ts.Fatalf("no layer is shared")
	}
	name := file(slices.Min(shared))
	switch args[1] {
	case "cut":
		ts.Check(os.Truncate(name, 1))
	case "lose":
		ts.Check(os.Remove(name))
	default:
		content, err := os.ReadFile(name)
		ts.Check(err)
		content[0] ^= 1
		ts.Check(os.WriteFile(name, content, 0o644))
	}
}
