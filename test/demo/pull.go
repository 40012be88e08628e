package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/log"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
)

// puller pulls as containerd does, and records its requests.
type puller struct {
	certsDir string
	mu       sync.Mutex
	asked    []request
}

// request is one HTTP request and its outcome.
type request struct {
	host, what, outcome string
}

func newPuller(certsDir string) *puller { return &puller{certsDir: certsDir} }

// tell pulls an image and prints which host answered. It returns an error if a host other than
// served delivered it.
func (p *puller) tell(ctx context.Context, s *story, image, served string) error {
	p.asked = nil
	size, err := p.pull(ctx, image)
	s.say("\n    %s", image)
	for _, r := range p.asked {
		s.say("      %-16s %-58s %s", r.host, r.what, r.outcome)
	}
	if err != nil {
		return err
	}
	last := p.asked[len(p.asked)-1]
	if last.host != served {
		return fmt.Errorf("came from %s instead of %s", last.host, served)
	}
	s.say("      → %d bytes, every digest right, from %s", size, last.host)
	return nil
}

// pull fetches the manifest, the config and the layers, and returns their size.
func (p *puller) pull(ctx context.Context, image string) (int64, error) {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	ctx = log.WithLogger(ctx, logrus.NewEntry(logger))
	resolver := docker.NewResolver(docker.ResolverOptions{
		Hosts: dockerconfig.ConfigureHosts(ctx, dockerconfig.HostOptions{
			HostDir:      dockerconfig.HostDirFromRoot(p.certsDir),
			UpdateClient: p.watch,
		}),
	})
	name, desc, err := resolver.Resolve(ctx, image)
	if err != nil {
		return 0, err
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return 0, err
	}
	body, err := fetch(ctx, fetcher, desc)
	if err != nil {
		return 0, err
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(body, &manifest); err != nil {
		return 0, err
	}
	size := int64(len(body))
	for _, d := range append([]ocispec.Descriptor{manifest.Config}, manifest.Layers...) {
		blob, err := fetch(ctx, fetcher, d)
		if err != nil {
			return 0, err
		}
		size += int64(len(blob))
	}
	return size, nil
}

func fetch(ctx context.Context, fetcher remotes.Fetcher, d ocispec.Descriptor) ([]byte, error) {
	rc, err := fetcher.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	body, err := io.ReadAll(rc)
	if err != nil {
		return nil, err
	}
	if got := d.Digest.Algorithm().FromBytes(body); got != d.Digest {
		return nil, fmt.Errorf("content has digest %s instead of %s", got, d.Digest)
	}
	return body, nil
}

// watch puts a recorder into a client of containerd.
func (p *puller) watch(client *http.Client) error {
	if _, done := client.Transport.(*recorder); !done {
		client.Transport = &recorder{next: client.Transport, puller: p}
	}
	return nil
}

// recorder records each request, and refuses those that would leave the machine.
type recorder struct {
	next   http.RoundTripper
	puller *puller
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	outcome := "refused: it would leave this machine"
	var resp *http.Response
	err := fmt.Errorf("%s is not on this machine", req.URL.Host)
	if ip := net.ParseIP(req.URL.Hostname()); ip != nil && ip.IsLoopback() {
		resp, err = r.next.RoundTrip(req)
		switch {
		case err != nil:
			outcome = "no answer, so the next one is asked"
		default:
			outcome = resp.Status
		}
	}
	what := req.Method + " " + req.URL.Path
	if i := strings.Index(what, "sha256:"); i >= 0 {
		what = what[:i+len("sha256:")+8] + "…"
	}
	r.puller.mu.Lock()
	defer r.puller.mu.Unlock()
	r.puller.asked = append(r.puller.asked, request{host: req.URL.Host, what: what, outcome: outcome})
	return resp, err
}
