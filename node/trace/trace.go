package trace

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/redact"
)

// Tracer traces images of one node, one at a time.
type Tracer struct {
	Node Node
	// Explain returns which credential is for which host of an image; nil if nothing is configured.
	Explain func(ctx context.Context, image string) (credprovider.Explanation, error)
	// Unasked returns why the node's kubelet does not ask Berth's credential provider about an
	// image, "" if it does; nil if no kubelet was found.
	Unasked func(image string) string
	// ConfigJSON returns the file in which kubelet finds the credential for an image without asking a
	// provider, "" if there is none; nil if this is not known.
	ConfigJSON func(registry, username string, password redact.Secret) string
	// KubeletUnloaded says that kubelet's credential providers were changed after kubelet was
	// started, so that the result of Unasked may not be in effect; "" if they were not.
	KubeletUnloaded string
	// Timeout limits each answer of a host; 0 is 5 s.
	Timeout time.Duration
	// Now is the clock for the expiry of credentials; nil is time.Now.
	Now func() time.Time
	// ResolveOnly ends after each host was asked for the digest: enough to see who refuses the
	// login.
	ResolveOnly bool
	// CheckRealm returns an error if the login for a host must not be sent to a token server, as
	// realm.Parse returns it; see desired.CheckRealm. nil: no config lists token servers.
	CheckRealm func(u hostsconf.URL, server string) error
	// Roots are trusted instead of the certificates of the system.
	Roots *x509.CertPool

	carried string // the target of a redirect to which containerd sends the login along
	passed  bool   // kubelet could pass a credential for the image
	// fromFile is true if kubelet has it in its own config.json.
	fromFile bool
	// dockerMirrors is how many of Docker's registry-mirrors are asked first.
	dockerMirrors int
}

func (t *Tracer) timeout() time.Duration { return cmp.Or(t.Timeout, defaultTimeout) }

func (t *Tracer) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

// Image traces one image. It always returns a report with a verdict; failures are in the report.
func (t *Tracer) Image(ctx context.Context, written string) Report {
	r := t.image(ctx, written)
	unloaded := t.Node.Unloaded
	if t.passed {
		unloaded = cmp.Or(unloaded, t.KubeletUnloaded)
	}
	if unloaded != "" && r.Reference != "" && ctx.Err() == nil {
		text := fmt.Sprintf("unknown: %s; with the present files, %s", unloaded, r.Verdict.Text)
		r.Verdict = Verdict{Unknown: true, Text: text}
	}
	return r
}

func (t *Tracer) image(ctx context.Context, written string) Report {
	t.carried, t.passed, t.fromFile, t.dockerMirrors = "", false, false, 0
	r := Report{Image: shown(written), Hosts: []Host{}, Notes: append([]Note(nil), t.Node.Notes...)}
	img, err := parseImage(written)
	if err != nil {
		r.Verdict.Text = err.Error()
		return r
	}
	r.Reference, r.Registry = img.full, img.registry
	if t.Node.Refused != "" {
		r.Verdict.Text = "unknown: " + t.Node.Refused
		return r
	}
	if refused := t.Node.refuses(img.registry); refused != "" {
		r.Verdict.Text = "no host will serve it: " + refused
		return r
	}
	d, err := t.Node.find(img.registry)
	r.CertsDir, r.Directory, r.Shadowed = d.certsDir, d.Dir, d.Shadowed
	if err != nil {
		r.Verdict.Text = "no host will serve it: " + t.Node.program() + " fails every pull of " + img.registry + ": " + err.Error()
		return r
	}
	if d.Ignored != nil {
		r.Ignored = d.Ignored.Error()
	}
	shared := &clients{tracer: t}
	defer shared.close()
	hosts, err := d.hosts(img.registry, shared.update)
	if err != nil {
		r.Verdict.Text = "no host will serve it: " + t.Node.program() + " fails every pull of " + img.registry + ": its hosts cannot be read"
		return r
	}
	hosts = t.withDockerSettings(ctx, img.registry, hosts)
	explained := t.explain(ctx, img, &r)
	probers := t.probers(&r, img, hosts, explained)
	if t.ResolveOnly {
		resolve(ctx, &r, img, probers)
	} else {
		follow(ctx, &r, img, probers)
	}
	for i := range r.Hosts {
		t.tokenServer(&r, &r.Hosts[i], hosts[i])
	}
	r.Verdict = verdictOf(&r)
	if ctx.Err() != nil {
		r.Verdict = Verdict{Text: "interrupted"}
	}
	r.Notes = append(r.Notes, t.notes(&r, d, hosts, explained)...)
	r.Notes = append(r.Notes, t.Node.differences(d)...)
	return r
}

// explain asks for the credentials. If that fails, the hosts are asked without credentials.
func (t *Tracer) explain(ctx context.Context, img image, r *Report) credprovider.Explanation {
	if t.Explain == nil {
		return credprovider.Explanation{Err: credprovider.ErrNotServed}
	}
	e, err := t.Explain(ctx, img.full)
	if err != nil {
		r.Notes = append(r.Notes, Note{ID: "credentials", Text: "the credentials cannot be determined: " + err.Error()})
		return credprovider.Explanation{Err: credprovider.ErrNotServed}
	}
	if t.Node.Docker != nil {
		return forDocker(e)
	}
	if e.Credential != nil && t.ConfigJSON != nil {
		if file := t.ConfigJSON(img.registry, e.Credential.Username, e.Credential.Password); file != "" {
			t.fromFile = true
			r.Credential = fmt.Sprintf("kubelet passes %s, from %s; it uses a change of that file within five minutes", e.Credential.Rule, file)
			return e
		}
	}
	t.passed = e.Credential != nil
	unasked := ""
	if t.Unasked != nil && e.Credential != nil {
		unasked = t.Unasked(img.full)
	}
	switch {
	case unasked != "":
		r.Credential = "kubelet's provider would pass " + e.Credential.Rule + ", and is not asked: " + unasked
		e.Credential, e.Err = nil, &unaskedError{unasked}
	case e.Credential != nil && t.Unasked == nil:
		r.Credential = "kubelet's provider passes " + e.Credential.Rule + ", where kubelet asks it; no kubelet was seen here"
	case e.Credential != nil:
		r.Credential = "kubelet's provider passes " + e.Credential.Rule
	case e.Err != nil:
		r.Credential = "kubelet's provider passes none: " + e.Err.Error()
	}
	return e
}

// unaskedError says why kubelet does not ask for a credential that it could pass.
type unaskedError struct{ why string }

func (e *unaskedError) Error() string { return e.why }

// probers prepares the hosts. It sets r.Hosts, whose elements the probers point to.
func (t *Tracer) probers(r *Report, img image, hosts []docker.RegistryHost, e credprovider.Explanation) []prober {
	r.Hosts = make([]Host, len(hosts))
	all := make([]prober, len(hosts))
	upstream := hostsconf.UpstreamURL(img.registry, false).Host
	for i, h := range hosts {
		c, passed := credentialOf(h, e)
		if c.Channel == "provider" && t.fromFile {
			c.Channel = "config.json"
		}
		r.Hosts[i] = Host{
			URL:          h.Scheme + "://" + h.Host + h.Path,
			Capabilities: capabilities(h),
			Itself:       h.Host == upstream,
			Credential:   c,
			Headers:      otherHeaders(h),
			passed:       passed.username != "" || !passed.password.IsZero(),
		}
		all[i] = prober{
			host: t.guarded(h, passed.username, passed.password.Reveal()), last: i == len(hosts)-1,
			hadLogin: c.Channel != "none", tracer: t, view: &r.Hosts[i],
		}
	}
	return all
}

func capabilities(h docker.RegistryHost) []string {
	names := []string{}
	if h.Capabilities.Has(docker.HostCapabilityPull) {
		names = append(names, "pull")
	}
	if h.Capabilities.Has(docker.HostCapabilityResolve) {
		names = append(names, "resolve")
	}
	return names
}

// follow sends the requests of a pull in their order: reference, manifests, layer.
func follow(ctx context.Context, r *Report, img image, probers []prober) {
	desc, ok := resolve(ctx, r, img, probers)
	if !ok {
		return
	}
	r.Digest = desc.Digest.String()
	body, ok := manifest(ctx, r, img, probers, desc)
	if !ok {
		return
	}
	layer, err := blob(body)
	if err != nil {
		for i := range r.Hosts {
			if r.Hosts[i].Content.OK {
				r.Hosts[i].Layer = Probe{Detail: err.Error(), Final: true}
			}
		}
		return
	}
	for i, a := range probers {
		h := &r.Hosts[i]
		if waits := cmp.Or(waiting(h.Resolve), waiting(h.Content)); waits != "" {
			h.Layer = Probe{Detail: waits, waits: true}
			continue
		}
		h.Layer = a.layer(ctx, img.full, layer)
	}
}

// resolve asks every host that may be asked; the first good answer counts.
func resolve(ctx context.Context, r *Report, img image, probers []prober) (desc ocispec.Descriptor, ok bool) {
	needs := docker.HostCapabilityPull
	if img.digest == "" {
		needs |= docker.HostCapabilityResolve
	}
	able := -1 // the last one that may be asked
	for i, a := range probers {
		if a.host.Capabilities.Has(needs) {
			able = i
		}
	}
	stopped := false
	for i, a := range probers {
		h := &r.Hosts[i]
		if !a.host.Capabilities.Has(needs) {
			h.Resolve.Detail = "it is not asked for the tag: its capabilities do not have resolve"
			if !a.host.Capabilities.Has(docker.HostCapabilityPull) {
				h.Resolve.Detail = "it is not asked: its capabilities do not have pull"
			}
			continue
		}
		a.last = i == able
		var found ocispec.Descriptor
		h.Resolve, found = a.resolve(ctx, img.full)
		if h.Resolve.OK && !ok && !stopped {
			desc, ok = found, true
		}
		stopped = stopped || h.Resolve.Final
	}
	return desc, ok
}

// manifest gets the manifest of the image for this machine from the first host that serves it, like
// containerd. It does not ask the other hosts, because Docker Hub counts these requests.
func manifest(ctx context.Context, r *Report, img image, probers []prober, desc ocispec.Descriptor) (body []byte, ok bool) {
	for range 3 { // an index may hold an index; deeper nesting is not supported
		if !isManifest(desc.MediaType) {
			for i := range r.Hosts {
				if r.Hosts[i].Resolve.OK {
					r.Hosts[i].Content = Probe{Detail: "it has no image under this name", Final: true}
				}
			}
			return nil, false
		}
		body, ok = manifestOnce(ctx, r, img, probers, desc)
		if !ok || !isIndex(desc) {
			return body, ok
		}
		var err error
		if desc, err = child(body); err != nil {
			for i := range r.Hosts {
				if r.Hosts[i].Content.OK {
					r.Hosts[i].Content = Probe{Asked: true, Detail: err.Error(), Final: true}
				}
			}
			return nil, false
		}
	}
	return nil, false
}

func manifestOnce(ctx context.Context, r *Report, img image, probers []prober, desc ocispec.Descriptor) ([]byte, bool) {
	for i, a := range probers {
		h := &r.Hosts[i]
		if waits := cmp.Or(waiting(h.Resolve), waiting(h.Content)); waits != "" {
			h.Content = Probe{Detail: waits, waits: true}
			continue // once is enough
		}
		var body []byte
		h.Content, body = a.manifest(ctx, img.full, desc)
		if h.Content.OK || h.Content.Final {
			return body, h.Content.OK
		}
	}
	return nil, false
}

// waiting is the reason why a host made the command wait, "" if it did not.
func waiting(p Probe) string {
	if !p.waits {
		return ""
	}
	return p.Detail
}
