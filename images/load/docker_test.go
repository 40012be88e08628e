package load_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/berth-registry/berth/images/load"
)

// engine answers as Docker Engine does to an archive. It knows an image after it has been loaded.
type engine struct {
	mu     sync.Mutex
	loaded map[string]string // config digest by name
	line   string            // answer to an archive
	status int
	lazy   bool // takes the archive and finds nothing
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if id, ok := strings.CutPrefix(r.URL.Path, "/images/"); ok && r.Method == http.MethodGet {
		id, found := e.loaded[strings.TrimSuffix(id, "/json")]
		if !found {
			http.Error(w, `{"message":"No such image"}`, http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, `{"Id":%q}`, id)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if e.status != 0 {
		w.WriteHeader(e.status)
	}
	fmt.Fprintln(w, e.line)
	if e.lazy || e.status != 0 {
		return
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	list, err := tarball.LoadManifest(open)
	if err != nil || len(list) != 1 {
		return
	}
	tag, err := name.NewTag(list[0].RepoTags[0])
	if err != nil {
		return
	}
	image, err := tarball.Image(open, &tag)
	if err == nil {
		err = validate.Image(image)
	}
	if err != nil {
		return
	}
	config, err := image.ConfigName()
	if err == nil {
		e.loaded[list[0].RepoTags[0]] = config.String()
	}
}

// start serves the engine at a socket.
func (e *engine) start(t *testing.T) *load.Docker {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: e, ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	d := load.DialDocker(socket)
	t.Cleanup(func() {
		d.Close()
		s.Close()
		<-done
	})
	return d
}

// TestDocker loads an image as an archive that docker load reads, verified layer by layer.
func TestDocker(t *testing.T) {
	arm := image(t, "linux", "arm64", "")
	dir := directory(t, map[string]any{"docker.io/library/many:1": index(t, map[string]v1.Image{"linux/arm64": arm})})
	e := &engine{loaded: map[string]string{}, line: `{"stream":"Loaded image"}`}
	d := e.start(t)
	for _, want := range []load.Status{load.Loaded, load.Present} {
		for _, r := range loadAll(t, dir, d) {
			if r.Status != want {
				t.Errorf("%s: %s, %v", r.Reference, r.Status, r.Err)
			}
		}
	}
	// The engine is one of the old store: it knows no digest.
	results := loadAll(t, dir, d)
	if notice := d.Notice(t.Context(), results); !strings.Contains(notice, "by tag alone") || !strings.Contains(notice, "docker.io/library/many@"+results[0].Digest.String()) {
		t.Errorf("notice %q", notice)
	}
	e.loaded["docker.io/library/many@"+results[0].Digest.String()] = results[0].Digest.String()
	if notice := d.Notice(t.Context(), results); notice != "" {
		t.Errorf("of a store that knows it: %q", notice)
	}
	if err := d.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	config, err := arm.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if e.loaded["docker.io/library/many:1"] != config.String() {
		t.Errorf("%v", e.loaded)
	}
}

// TestDockerFails reports what Docker says, and an archive in which it found nothing.
func TestDockerFails(t *testing.T) {
	dir := directory(t, map[string]any{"docker.io/library/a:1": image(t, "linux", "arm64", "")})
	message, err := json.Marshal(map[string]string{"message": "no space left on device"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		engine *engine
		want   string
	}{
		"an error in the stream": {&engine{line: `{"stream":"x"}{"error":"unexpected EOF","errorDetail":{}}`}, "unexpected EOF"},
		"a status":               {&engine{line: string(message), status: 500}, "answers 500: no space left on device"},
		"nothing found":          {&engine{line: "{}", lazy: true}, "has taken the archive and not the image"},
		"not JSON":               {&engine{line: "<html>", lazy: true}, "the answer is not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			c.engine.loaded = map[string]string{}
			for _, r := range loadAll(t, dir, c.engine.start(t)) {
				if r.Status != load.Failed || r.Err == nil || !strings.Contains(r.Err.Error(), c.want) {
					t.Errorf("%s, %v, want %s", r.Status, r.Err, c.want)
				}
			}
		})
	}
	t.Run("not there", func(t *testing.T) {
		for _, r := range loadAll(t, dir, load.DialDocker(filepath.Join(t.TempDir(), "none"))) {
			if r.Status != load.Failed || !strings.Contains(r.Err.Error(), "no such file or directory") || strings.Contains(r.Err.Error(), "http://") {
				t.Errorf("%v", r.Err)
			}
		}
	})
}
