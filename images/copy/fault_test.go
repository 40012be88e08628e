package copy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/internal/imagestest"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/registry"
	"github.com/berth-registry/berth/test/fakes/fakeregistry"
	"github.com/berth-registry/berth/test/images/sample"
)

// unsteady makes one of oneIn requests fail, in the ways of networks and registries: also with the
// request carried out and the answer lost.
func unsteady(s *fakeregistry.Server, seed uint64, oneIn int) (failures *atomic.Int64) {
	failures = &atomic.Int64{}
	rnd := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	inner := func() int {
		mu.Lock()
		defer mu.Unlock()
		if rnd.IntN(oneIn) > 0 {
			return -1
		}
		return rnd.IntN(4)
	}
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		how := inner()
		if how < 0 {
			return false
		}
		failures.Add(1)
		switch how {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			fakeregistry.Drop(w)
		case 3: // carried out, answer lost
			s.Serve(httptest.NewRecorder(), r)
			fakeregistry.Drop(w)
		}
		return true
	})
	return failures
}

// With a target or a source that fails one request in ten, the copy is exact.
func TestCopyFromAndToUnsteady(t *testing.T) {
	for _, c := range []struct {
		name           string
		source, target bool
	}{{"target", false, true}, {"source", true, false}} {
		t.Run(c.name, func(t *testing.T) {
			source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
			_, images := imagestest.Fill(t, source, sample.Options{Seed: 11})
			bad := target
			if c.source {
				bad = source
			}
			failures := unsteady(bad, 11, 10)
			wantStatus(t, copyImages(t, &copy.Copier{Jobs: 32}, images, "", target.Addr()), copy.StatusCopied)
			wantSame(t, source, target, "")
			if failures.Load() < 10 {
				t.Errorf("%d requests failed: nothing was tried", failures.Load())
			}
			wantPushedOnce(t, target.Requests())
		})
	}
}

// A directory is filled from a source that fails one request in ten.
func TestCopyFromUnsteadyToALayout(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 17})
	failures := unsteady(source, 17, 10)
	dir := "oci:" + t.TempDir()
	wantStatus(t, copyImages(t, &copy.Copier{Jobs: 32}, images, "", dir), copy.StatusCopied)
	if failures.Load() < 10 {
		t.Errorf("%d requests failed: nothing was tried", failures.Load())
	}
	wantStatus(t, copyImages(t, &copy.Copier{}, nil, dir, target.Addr()), copy.StatusCopied)
	wantSame(t, source, target, "")
}

// Each request of an upload has its own attempts: in sum there may be more failures than for one of
// them.
func TestCopyTriesEachRequestOfAnUpload(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 18, Images: 1})
	var mu sync.Mutex
	left := map[string]int{http.MethodHead: registry.Attempts - 3, http.MethodPost: registry.Attempts - 3, http.MethodPut: 2}
	target.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		if left[r.Method] == 0 {
			return false
		}
		left[r.Method]--
		w.WriteHeader(http.StatusBadGateway)
		return true
	})
	wantStatus(t, copyImages(t, &copy.Copier{Jobs: 1}, images, "", target.Addr()), copy.StatusCopied)
	wantSame(t, source, target, "")
	for method, n := range left {
		if n > 0 {
			t.Errorf("%d more %s could have failed: too little was tried", n, method)
		}
	}
}

// wantPushedOnce checks that nothing is sent to a registry again after its answer could have
// arrived.
func wantPushedOnce(t testing.TB, requests []fakeregistry.Request) {
	t.Helper()
	for _, s := range fakeregistry.SentAgain(requests) {
		t.Errorf("sent again: %s", s)
	}
}

// settle waits until a registry has stored what an interrupted run sent to it. Only then can the
// next run learn that it is there.
func settle(t testing.TB, s *fakeregistry.Server) {
	t.Helper()
	if err := s.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A run that is cancelled at any request is completed by the next one, which sends nothing again.
func TestCopyResumes(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 12, Images: 10})
	rnd := rand.New(rand.NewPCG(12, 0))
	for trial := range 4 {
		target := imagestest.StartRegistry(t, fakeregistry.Options{})
		for range 4 {
			ctx, cancel := context.WithCancel(t.Context())
			left := atomic.Int64{}
			left.Store(int64(1 + rnd.IntN(90)))
			target.Intercept(func(http.ResponseWriter, *http.Request) bool {
				if left.Add(-1) == 0 {
					cancel()
				}
				return false
			})
			_, err := (&copy.Copier{}).Copy(ctx, images, reference.Location{}, location(t, target.Addr()))
			if ctx.Err() != nil && err == nil {
				t.Errorf("trial %d: an end without an error", trial)
			}
			cancel()
			settle(t, target)
		}
		target.Intercept(nil)
		for _, r := range copyImages(t, &copy.Copier{}, images, "", target.Addr()) {
			if r.Status == copy.StatusFailed {
				t.Errorf("%s: %s", r.Image, r.Error)
			}
		}
		wantSame(t, source, target, "")
		wantPushedOnce(t, target.Requests())
	}
}

// The check fails on a repeated request.
func TestPushedOnceControl(t *testing.T) {
	now := time.Now()
	put := func(at time.Duration) fakeregistry.Request {
		return fakeregistry.Request{Method: http.MethodPut, Path: "/v2/a/manifests/1", Status: 201, Begin: now.Add(at), End: now.Add(at + 1)}
	}
	for _, c := range []struct {
		requests []fakeregistry.Request
		bad      bool
	}{
		{[]fakeregistry.Request{put(0), put(time.Second)}, true},
		{[]fakeregistry.Request{put(0)}, false},
	} {
		probe := &probe{TB: t}
		wantPushedOnce(probe, c.requests)
		if probe.failed != c.bad {
			t.Errorf("%v: noticed %v", c.requests, probe.failed)
		}
	}
}

type probe struct {
	testing.TB
	failed bool
}

func (p *probe) Errorf(string, ...any) { p.failed = true }

// Content that does not match its digest is not copied.
func TestCopyRefusesWrongContent(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	set, images := imagestest.Fill(t, source, sample.Options{Seed: 13, Images: 1})
	repository := set.Images[0].Repository
	source.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		rec := httptest.NewRecorder()
		source.Serve(rec, r)
		body := rec.Body.Bytes()
		body[len(body)-1] ^= 1
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write(body)
		return true
	})
	results := copyImages(t, &copy.Copier{}, images, "", target.Addr())
	if results[0].Status != copy.StatusFailed || !strings.Contains(results[0].Error, "does not match its digest") {
		t.Errorf("%+v", results[0])
	}
	if target.Manifest(repository, set.Images[0].Tag) != nil {
		t.Error("the tag is there")
	}
	// Content of another length is refused too.
	answer := func(how func(http.ResponseWriter, []byte)) {
		source.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			rec := httptest.NewRecorder()
			source.Serve(rec, r)
			how(w, rec.Body.Bytes())
			return true
		})
	}
	answer(func(w http.ResponseWriter, _ []byte) { _, _ = w.Write([]byte("short")) })
	if r := copyImages(t, &copy.Copier{}, images, "", target.Addr())[0]; r.Status != copy.StatusFailed || !strings.Contains(r.Error, "size is 5") {
		t.Errorf("%+v", r)
	}
	// Of content that has no length and goes on behind its end, a registry gets what the digest
	// covers; a file would get all, and is refused.
	answer(func(w http.ResponseWriter, body []byte) { _, _ = w.Write(append(body, make([]byte, 64<<10)...)) })
	if r := copyImages(t, &copy.Copier{}, images, "", "oci:"+t.TempDir())[0]; r.Status != copy.StatusFailed || !strings.Contains(r.Error, "it is longer than") {
		t.Errorf("%+v", r)
	}
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", target.Addr()), copy.StatusCopied)
	wantSame(t, source, target, "")
}

// A full target is reported in one line for each image, and no upload to it is tried again.
func TestCopyToAFullTarget(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"507": func(w http.ResponseWriter) { w.WriteHeader(http.StatusInsufficientStorage) },
		"docker-registry": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{"DriverName":"filesystem","Enclosed":{"Op":"mkdir","Path":"/x","Err":28}}}]}`)
		},
		"docker-registry in words": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"errors":[{"code":"UNKNOWN","message":"filesystem: mkdir /x: no space left on device"}]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
			set, images := imagestest.Fill(t, source, sample.Options{Seed: 14, Images: 2})
			target.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPost {
					answer(w)
				}
				return r.Method == http.MethodPost
			})
			for _, r := range copyImages(t, &copy.Copier{}, images, "", target.Addr()) {
				if r.Status != copy.StatusFailed || !strings.Contains(r.Error, "no space left") || strings.Contains(r.Error, "\n") {
					t.Errorf("%s: %q", r.Status, r.Error)
				}
			}
			blobs := 0
			for _, of := range set.Blobs {
				blobs += len(of)
			}
			if n := target.Count(http.MethodPost, "/"); n == 0 || n > blobs {
				t.Errorf("%d uploads were begun for %d blobs", n, blobs)
			}
		})
	}
}

// An unreachable registry is retried once, not for each image.
func TestCopyUnreachable(t *testing.T) {
	source := imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 15})
	nowhere, err := fakeregistry.Refused()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range copyImages(t, &copy.Copier{}, images, "", nowhere) {
		if r.Status != copy.StatusFailed || !strings.Contains(r.Error, nowhere) || !strings.Contains(r.Error, "connection refused") || strings.Contains(r.Error, "\n") {
			t.Errorf("%s: %q", r.Status, r.Error)
		}
	}
	if n := source.Count(http.MethodGet, "/manifests/"); n > 0 {
		t.Errorf("the source was asked %d times for nothing", n)
	}
}

// 429 is waited out as long as the registry asks for.
func TestCopyWaits(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 16, Images: 3})
	var limited atomic.Int64
	source.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") || limited.Add(1) > 2 {
			return false
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	begin := time.Now()
	wantStatus(t, copyImages(t, &copy.Copier{}, images, "", target.Addr()), copy.StatusCopied)
	if took := time.Since(begin); took < time.Second {
		t.Errorf("it took %s, and the registry had asked for a second", took)
	}
	wantSame(t, source, target, "")

	// A longer pause than Wait is reported.
	source.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Retry-After", "21600")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	other := imagestest.StartRegistry(t, fakeregistry.Options{})
	for _, r := range copyImages(t, &copy.Copier{Wait: time.Second}, images, "", other.Addr()) {
		if r.Status != copy.StatusFailed || !strings.Contains(r.Error, "429") || !strings.Contains(r.Error, "6h0m0s") {
			t.Errorf("%s: %q", r.Status, r.Error)
		}
	}
}

// In the end the bytes add up, including blobs that were mounted and failed attempts.
func TestProgressAddsUp(t *testing.T) {
	source, target := imagestest.StartRegistry(t, fakeregistry.Options{}), imagestest.StartRegistry(t, fakeregistry.Options{})
	_, images := imagestest.Fill(t, source, sample.Options{Seed: 61})
	unsteady(target, 61, 20)
	p := &copy.Progress{}
	done := 0
	c := &copy.Copier{Progress: p, Jobs: 32, Done: func(copy.Copied) { done++ }}
	wantStatus(t, copyImages(t, c, images, "", target.Addr()), copy.StatusCopied)
	at := p.Reached()
	if at.Bytes != at.Total || at.Total == 0 || at.Done != 20 || at.Failed != 0 || done != 20 {
		t.Errorf("%+v, %d told", at, done)
	}
}
