package health

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/dockerhublimit"
	"github.com/berth-registry/berth/internal/redact"
)

// HubLimit is how many pulls Docker Hub allows the login, or the address without one.
type HubLimit struct {
	dockerhublimit.Limit
	// Time is when the limit was read, zero if never.
	Time time.Time
	// Err is why the last attempt failed, "" if it succeeded.
	Err string
}

const (
	// Docker Hub is asked every hubInterval ±10 %, with two requests; sooner after a failure.
	hubInterval = 15 * time.Minute
	hubTimeout  = 10 * time.Second
	// HubRequestsPerHour is the cost of [Prober.SetHub].
	HubRequestsPerHour = 2 * float64(time.Hour/hubInterval)
)

// hub is the state of asking Docker Hub. Prober.mu guards all fields but the first two.
type hub struct {
	service dockerhublimit.Service
	wake    chan struct{}

	on       bool
	username string
	password redact.Secret
	limit    HubLimit
	round    int // counts the changes by SetHub
}

func newHub(o Options) hub {
	h := hub{service: o.Hub, wake: make(chan struct{}, 1)}
	if h.service == (dockerhublimit.Service{}) {
		h.service = dockerhublimit.DockerHub()
	}
	return h
}

// SetHub sets whether to ask Docker Hub how many pulls are left, and with which login; without a
// username the request is anonymous. The mode of [Settings] does not matter, the proxy does.
func (p *Prober) SetHub(on bool, username string, password redact.Secret) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := &p.hub
	if h.on == on && h.username == username && h.password == password {
		return
	}
	h.on, h.username, h.password, h.limit = on, username, password, HubLimit{}
	h.round++
	signal(h.wake)
}

// Hub returns Docker Hub's last answer, and whether Docker Hub is asked at all.
func (p *Prober) Hub() (HubLimit, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hub.limit, p.hub.on
}

func (p *Prober) watchHub(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failures, round := 0, 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.hub.wake:
			if p.hubState().round == round {
				continue // the timer fired first
			}
			failures = 0
		case <-timer.C:
		}
		h := p.hubState()
		round = h.round
		if !h.on {
			timer.Stop()
			continue
		}
		limit, err := p.readHub(ctx, h)
		wait := hubInterval
		if err == nil {
			failures = 0
		} else {
			wait = min(wait, firstRetry<<min(failures, 10))
			failures++
		}
		p.mu.Lock()
		if ctx.Err() == nil && p.hub.round == h.round {
			if err != nil {
				limit = p.hub.limit
				limit.Err = err.Error()
			}
			p.hub.limit = limit
		}
		timer.Reset(p.jitter(wait))
		p.mu.Unlock()
		if err != nil && failures == 1 && ctx.Err() == nil {
			p.log.WarnContext(ctx, "Docker Hub's pull limit cannot be read", slog.String("error", err.Error()))
		}
	}
}

func (p *Prober) hubState() hub {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hub
}

// readHub asks Docker Hub, with the proxy and TLS settings that containerd would use.
func (p *Prober) readHub(ctx context.Context, h hub) (HubLimit, error) {
	ctx, cancel := context.WithTimeout(ctx, hubTimeout)
	defer cancel()
	p.mu.Lock()
	rt := p.roundTripper(&target{key: targetKey{scheme: "https", tls: plainTLS}, tls: hostsconf.TLS{}})
	p.mu.Unlock()
	limit, err := h.service.Ask(ctx, redactingTransport{rt}, h.username, h.password)
	if err != nil {
		return HubLimit{}, err
	}
	return HubLimit{Limit: limit, Time: time.Now()}, nil
}

// redactingTransport gives errors like those of a probe: they quote nothing that the server sent,
// and no address of a proxy. Its connections end with the context of the request.
type redactingTransport struct{ inner http.RoundTripper }

func (d redactingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	var progress progress
	ctx := withOwner(httptrace.WithClientTrace(req.Context(), progress.trace()))
	resp, err := d.inner.RoundTrip(req.WithContext(ctx))
	if err != nil {
		_, text := explain(err, ctx.Err(), progress.stage(), hubTimeout)
		return nil, errors.New(text)
	}
	return resp, nil
}
