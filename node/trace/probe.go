package trace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-registry/berth/internal/dockerhublimit"
	"github.com/berth-registry/berth/internal/neterr"
)

// prober asks one host for an image.
type prober struct {
	host     docker.RegistryHost // guarded
	last     bool                // no other host follows
	hadLogin bool
	tracer   *Tracer
	view     *Host
}

// client is containerd's resolver with this host alone, or followed by one that shows whether
// containerd goes on.
func (a prober) client() remotes.Resolver {
	hosts := []docker.RegistryHost{a.host}
	if !a.last {
		hosts = append(hosts, afterRedirect())
	}
	return docker.NewResolver(docker.ResolverOptions{
		Hosts:   func(string) ([]docker.RegistryHost, error) { return hosts, nil },
		Headers: http.Header{"User-Agent": {"berth-trace"}},
	})
}

// resolve asks for the digest of a reference: HEAD of the manifest.
func (a prober) resolve(ctx context.Context, ref string) (Probe, ocispec.Descriptor) {
	var desc ocispec.Descriptor
	p := a.ask(ctx, &recording{}, func(ctx context.Context) (err error) {
		_, desc, err = a.client().Resolve(ctx, ref)
		return err
	})
	if p.OK {
		p.Digest = desc.Digest.String()
	}
	return p, desc
}

// maxManifest is the largest manifest that containerd accepts (core/remotes/docker,
// MaxManifestSize).
const maxManifest = 4 << 20

// manifest gets a manifest by its digest.
func (a prober) manifest(ctx context.Context, ref string, desc ocispec.Descriptor) (Probe, []byte) {
	var body []byte
	p := a.ask(ctx, &recording{}, func(ctx context.Context) error {
		rc, err := a.fetch(ctx, ref, desc)
		if err != nil {
			return err
		}
		defer rc.Close()
		body, err = io.ReadAll(io.LimitReader(rc, maxManifest+1))
		return err
	})
	if p.OK && desc.Digest.Algorithm().FromBytes(body) != desc.Digest {
		// containerd finds out only when it stores the manifest, and then asks no other host.
		p.OK, p.Final, p.Detail = false, true, "its content does not have the digest that was asked for"
	}
	return p, body
}

// layer asks for the first byte of a blob.
func (a prober) layer(ctx context.Context, ref string, desc ocispec.Descriptor) Probe {
	t := &recording{layer: true}
	return a.ask(ctx, t, func(ctx context.Context) error {
		rc, err := a.fetch(ctx, ref, desc)
		if err != nil {
			return err
		}
		defer rc.Close()
		// A connection that ends before the answer is an error that wraps io.EOF; the end of an
		// answer is io.EOF itself.
		switch _, err := io.ReadFull(rc, make([]byte, 1)); {
		case err == io.EOF:
			return &contentError{"its layer is empty"}
		case err != nil:
			return err
		}
		if size := t.last().size(); size >= 0 && size != desc.Size {
			return &contentError{fmt.Sprintf("its layer has %d bytes, not %d", size, desc.Size)}
		}
		return nil
	})
}

func (a prober) fetch(ctx context.Context, ref string, desc ocispec.Descriptor) (io.ReadCloser, error) {
	f, err := a.client().Fetcher(ctx, ref)
	if err != nil {
		return nil, err
	}
	return f.Fetch(ctx, desc)
}

// ask asks one question and returns the result.
func (a prober) ask(ctx context.Context, t *recording, question func(context.Context) error) Probe {
	limit := a.tracer.timeout()
	ctx, cancel := context.WithTimeout(withRecording(quiet(ctx), t), limit)
	defer cancel()
	began := time.Now()
	err := question(ctx)
	p := Probe{Asked: true, OK: err == nil, Redirect: t.redirect, LatencyMS: milliseconds(time.Since(began))}
	a.record(t)
	last := t.last()
	p.Status = last.status
	if p.OK {
		return p
	}
	if wrong := (*contentError)(nil); errors.As(err, &wrong) {
		p.Detail, p.Final = wrong.text, true
		return p
	}
	p.Detail, p.waits = a.explain(t, last, ctx.Err(), limit)
	if p.waits {
		p.wait = a.tracer.Node.wait(t, last)
	}
	var realm *realmError
	switch {
	case errors.As(last.err, &realm):
		p.Unknown = true
	case p.waits && last.written && a.tracer.Node.waitsWithoutLimit():
		p.Final = true
		p.Detail += fmt.Sprintf("; containerd %s waits for it without limit", a.tracer.Node.Release)
	case !a.last && !t.passedOn && ctx.Err() == nil:
		p.Final = true
	}
	return p
}

// explain finds the reason of a failure in the recorded exchanges, because containerd's errors may
// repeat text that the other side sent.
func (a prober) explain(t *recording, last exchange, ended error, limit time.Duration) (text string, waits bool) {
	var realm *realmError
	switch {
	case len(t.exchanges) == 0:
		return "containerd's library asks nothing", false
	case errors.As(last.err, &realm):
		return realm.Error(), false
	case errors.Is(last.err, errRedirects):
		return errRedirects.Error(), false
	case last.err != nil:
		text, waits = transportText(last, ended, cmp.Or(t.dialed, limit))
	case last.status >= http.StatusMultipleChoices && last.status < http.StatusBadRequest:
		return fmt.Sprintf("it redirects (%d), which is not followed", last.status), false
	case last.status >= http.StatusBadRequest:
		text = statusText(last, a.hadLogin)
	case last.token:
		return "its token server gives no token", false
	case ended != nil:
		return fmt.Sprintf("the answer does not end within %s", limit), true
	default:
		return "its answer is not accepted", false
	}
	switch {
	case last.token:
		text = "its token server " + last.host + ": " + text
	case t.redirect != "" && last.host != a.host.Host:
		text = "it redirects to " + t.redirect + ": " + text
	}
	return text, waits
}

// record keeps what the answers say besides the content.
func (a prober) record(t *recording) {
	for _, x := range t.exchanges {
		if x.status == http.StatusUnauthorized && !x.token {
			a.challenged(x.header)
		}
		if l, err := dockerhublimit.Parse(x.header); err == nil && x.header != nil {
			a.view.Limit = &Limit{Remaining: l.Remaining, Total: l.Total, WindowS: l.Window.Seconds()}
		}
	}
	if t.carried {
		a.tracer.carried = cmp.Or(a.tracer.carried, t.redirect)
	}
}

// challenged keeps the kind of login that a host asks for: the first one that containerd supports
// counts.
func (a prober) challenged(h http.Header) {
	for _, c := range auth.ParseAuthHeader(h) {
		switch c.Scheme {
		case auth.BasicAuth:
		case auth.BearerAuth:
			if realm, err := url.Parse(c.Parameters["realm"]); err == nil {
				a.view.TokenServer = neterr.Line(realm.Scheme+"://"+realm.Host, maxForeign)
			}
		default:
			continue
		}
		a.view.Challenges = true
		return
	}
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

// isManifest reports whether containerd gets a descriptor from the manifests of a registry.
func isManifest(mediaType string) bool {
	return images.IsManifestType(mediaType) || images.IsIndexType(mediaType)
}
