package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-registry/berth/images/bundle"
	"github.com/berth-registry/berth/images/layout"
)

const top = "../../.."

// TestImage: the image has both platforms, each with its programs and the settings of the
// Dockerfile; equal input gives equal bytes, and another time other bytes.
func TestImage(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(top)
	raw, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	want, err := lastStage(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	var inputs []string
	for _, arch := range []string{"amd64", "arm64"} {
		in := filepath.Join(dir, arch)
		if err := os.Mkdir(in, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range want.Files {
			mode := os.FileMode(0o700)
			if name == "ca-certificates.crt" {
				mode = 0o600
			}
			if err := os.WriteFile(filepath.Join(in, name), []byte(name+" for "+arch), mode); err != nil {
				t.Fatal(err)
			}
		}
		inputs = append(inputs, arch+"="+in)
	}
	build := func(name, epoch string) []byte {
		t.Setenv("SOURCE_DATE_EPOCH", epoch)
		file := filepath.Join(dir, name)
		if err := run(append([]string{"image", "registry.corp/berth:1.0.0", file}, inputs...)); err != nil {
			t.Fatal(err)
		}
		made, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	first := build("first.tar", "1700000000")
	if !bytes.Equal(first, build("second.tar", "1700000000")) {
		t.Error("the second build has other bytes")
	}
	if bytes.Equal(first, build("third.tar", "1700000001")) {
		t.Error("a build of another time has the same bytes: the comparison sees nothing")
	}

	l := open(t, filepath.Join(dir, "first.tar"))
	var index v1.IndexManifest
	manifestOf(t, l, l.Named()["registry.corp/berth:1.0.0"].Digest, &index)
	if len(index.Manifests) != 2 {
		t.Fatalf("%d manifests, want 2", len(index.Manifests))
	}
	for i, arch := range []string{"amd64", "arm64"} {
		d := index.Manifests[i]
		var m v1.Manifest
		manifestOf(t, l, d.Digest, &m)
		var config v1.ConfigFile
		if err := json.Unmarshal(blob(t, l, m.Config.Digest), &config); err != nil {
			t.Fatal(err)
		}
		if d.Platform.Architecture != arch || config.Architecture != arch || config.OS != "linux" {
			t.Errorf("platforms %v, %s/%s; want %s", d.Platform, config.OS, config.Architecture, arch)
		}
		got, _ := json.Marshal(config.Config)
		if wanted, _ := json.Marshal(want.Config); !bytes.Equal(got, wanted) {
			t.Errorf("config\n%s\nthe Dockerfile says\n%s", got, wanted)
		}
		checkLayer(t, blob(t, l, m.Layers[0].Digest), want.Files, arch)
	}
}

func checkLayer(t *testing.T, layer []byte, files []string, arch string) {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		mode := int64(0o755)
		if h.Name == "ca-certificates.crt" {
			mode = 0o644
		}
		content, err := io.ReadAll(r)
		if err != nil || string(content) != h.Name+" for "+arch || h.Mode != mode || h.Uid != 0 || h.Gid != 0 {
			t.Errorf("%s: mode %o, owner %d:%d, %q (%v)", h.Name, h.Mode, h.Uid, h.Gid, content, err)
		}
	}
	if !slices.Equal(names, files) {
		t.Errorf("files %q, want %q", names, files)
	}
}

// TestChart: the artifact has the package as it is, and what Chart.yaml says as its config.
func TestChart(t *testing.T) {
	dir := t.TempDir()
	about, err := os.ReadFile(filepath.Join(top, "manifests/chart/Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var tgz bytes.Buffer
	z := gzip.NewWriter(&tgz)
	w := tar.NewWriter(z)
	for _, err := range []error{
		w.WriteHeader(&tar.Header{Name: "berth/Chart.yaml", Size: int64(len(about)), Mode: 0o644}),
		func() error { _, err := w.Write(about); return err }(), w.Close(), z.Close(),
		os.WriteFile(filepath.Join(dir, "berth.tgz"), tgz.Bytes(), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	file := filepath.Join(dir, "chart.tar")
	if err := run([]string{"chart", "registry.corp/charts/berth:0.1.0", file, filepath.Join(dir, "berth.tgz")}); err != nil {
		t.Fatal(err)
	}
	l := open(t, file)
	var m v1.Manifest
	manifestOf(t, l, l.Named()["registry.corp/charts/berth:0.1.0"].Digest, &m)
	if m.Config.MediaType != chartConfig || len(m.Layers) != 1 || m.Layers[0].MediaType != chartContent {
		t.Fatalf("manifest %+v", m)
	}
	if !bytes.Equal(blob(t, l, m.Layers[0].Digest), tgz.Bytes()) {
		t.Error("the package is another one")
	}
	var config struct{ Name, Version, AppVersion string }
	if err := json.Unmarshal(blob(t, l, m.Config.Digest), &config); err != nil {
		t.Fatal(err)
	}
	if config.Name != "berth" || !strings.Contains(string(about), "\nversion: "+config.Version+"\n") {
		t.Errorf("config %+v", config)
	}
}

// TestLastStage: what the reader of the Dockerfile does not know is an error.
func TestLastStage(t *testing.T) {
	const good = "FROM golang AS build\nRUN anything\n# a comment\nFROM scratch\nCOPY --from=build /out/a \\\n  /out/b /\nENV A=1 B=\"2 3\"\nENTRYPOINT [\"/a\"]\n"
	s, err := lastStage(good)
	if err != nil || !slices.Equal(s.Files, []string{"a", "b"}) || !slices.Equal(s.Config.Env, []string{"A=1", "B=2 3"}) || s.Config.Entrypoint[0] != "/a" {
		t.Errorf("%+v %v", s, err)
	}
	for _, more := range []string{"RUN x\n", "VOLUME /x\n", "COPY a b /\n", "COPY --from=build /etc/x /\n", "COPY --from=build /out/x /y/\n", "ENV A\n", "LABEL a=\"b\n", "ENV A=$B\n", "CMD x\n"} {
		if _, err := lastStage(good + more); err == nil {
			t.Errorf("%q is accepted", more)
		}
	}
	if _, err := lastStage("FROM golang\nENTRYPOINT [\"/a\"]\n"); err == nil {
		t.Error("a last stage from another image is accepted")
	}
}

func open(t *testing.T, file string) *layout.Layout {
	t.Helper()
	l, err := bundle.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func manifestOf(t *testing.T, l *layout.Layout, d v1.Hash, into any) {
	t.Helper()
	if err := json.Unmarshal(blob(t, l, d), into); err != nil {
		t.Fatal(err)
	}
}

func blob(t *testing.T, l *layout.Layout, d v1.Hash) []byte {
	t.Helper()
	r, err := l.OpenBlob(d)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
