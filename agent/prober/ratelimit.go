package prober

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/redact"
)

// HubLimit is how many pulls Docker Hub grants to whoever asked.
type HubLimit struct {
	Limit     int           `json:"limit"`     // pulls in a window
	Remaining int           `json:"remaining"` // of them
	Window    time.Duration `json:"window"`    // in nanoseconds
	// Unlimited says that Docker Hub named no limit.
	Unlimited bool `json:"unlimited"`
	// Source is on whom the pulls are counted, as Docker Hub says it: an
	// address or the id of a user. It is for people; as the label of a metric
	// it would grow without bounds.
	Source string `json:"source,omitempty"`
	// Time is when the values above were read, zero if never.
	Time time.Time `json:"time,omitzero"`
	// Err is why the last attempt failed, "" when it did not.
	Err string `json:"error,omitempty"`
}

const (
	// Docker Hub is asked every hubInterval ±10 %, with two requests; sooner
	// when that failed.
	hubInterval = 15 * time.Minute
	hubTimeout  = 10 * time.Second
	// HubRequestsPerHour is what [Prober.SetHub] costs.
	HubRequestsPerHour = 2 * float64(time.Hour/hubInterval)

	hubRegistry = "https://registry-1.docker.io"
	hubAuth     = "https://auth.docker.io"
	// The image exists for this purpose. HEAD tells the same as GET and does
	// not count as a pull: https://docs.docker.com/docker-hub/usage/pulls/,
	// "View pull rate and limit".
	hubScope    = "repository:ratelimitpreview/test:pull"
	hubManifest = "/v2/ratelimitpreview/test/manifests/latest"
)

// hub is the state of asking Docker Hub, guarded by Prober.mu but for the two
// addresses.
type hub struct {
	registry, auth string
	kick           chan struct{}

	on       bool
	username string
	password redact.Secret
	limit    HubLimit
	round    int // a new login begins a new one
}

func newHub(o Options) hub {
	return hub{
		registry: strings.TrimSuffix(cmp.Or(o.HubRegistry, hubRegistry), "/"),
		auth:     strings.TrimSuffix(cmp.Or(o.HubAuth, hubAuth), "/"),
		kick:     make(chan struct{}, 1),
	}
}

// SetHub says whether to ask Docker Hub how many pulls are left, and with
// which login; without a username it is asked anonymously. The mode of
// [Settings] does not matter, their proxy does.
func (p *Prober) SetHub(on bool, username string, password redact.Secret) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := &p.hub
	if h.on == on && h.username == username && h.password == password {
		return
	}
	h.on, h.username, h.password, h.limit = on, username, password, HubLimit{}
	h.round++
	signal(h.kick)
}

// Hub gives what Docker Hub said, and whether it is asked at all.
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
		case <-p.hub.kick:
			if p.hubState().round == round {
				continue // the timer was faster
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
			wait = min(wait, retryFirst<<min(failures, 10))
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
			p.log.WarnContext(ctx, "the limit of Docker Hub cannot be read", slog.String("error", err.Error()))
		}
	}
}

func (p *Prober) hubState() hub {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hub
}

// readHub gets a token and asks. The login goes to the token server, the token
// to the registry, as for a pull.
func (p *Prober) readHub(ctx context.Context, h hub) (HubLimit, error) {
	ctx, cancel := context.WithTimeout(ctx, hubTimeout)
	defer cancel()
	p.mu.Lock()
	rt := p.roundTripper(&target{key: targetKey{scheme: "https", tls: plainTLS}, tls: hostsconf.TLS{}})
	p.mu.Unlock()

	query := url.Values{"service": {"registry.docker.io"}, "scope": {hubScope}}
	var token redact.Secret
	_, err := hubRequest(ctx, rt, http.MethodGet, h.auth+"/token?"+query.Encode(), func(header http.Header) {
		if h.username != "" {
			header.Set("Authorization", hostsconf.BasicAuthorization(h.username, h.password).Reveal())
		}
	}, func(body io.Reader) (err error) {
		token, err = hubToken(body)
		return err
	})
	if err != nil {
		return HubLimit{}, fmt.Errorf("no token: %w", err)
	}
	header, err := hubRequest(ctx, rt, http.MethodHead, h.registry+hubManifest, func(header http.Header) {
		header.Set("Authorization", "Bearer "+token.Reveal())
		header.Set("Accept", manifestTypes)
	}, nil)
	if err != nil {
		return HubLimit{}, err
	}
	return parseHubLimit(header, time.Now())
}

// hubRequest makes one request; its errors hold nothing that the other side
// said. It takes 429 for an answer, which comes when no pull is left.
func hubRequest(ctx context.Context, rt http.RoundTripper, method, address string, set func(http.Header), read func(io.Reader) error) (http.Header, error) {
	var progress progress
	ctx = owned(httptrace.WithClientTrace(ctx, progress.trace()))
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, errors.New("the address cannot be used")
	}
	req.Header.Set("User-Agent", userAgent)
	set(req.Header)
	resp, err := rt.RoundTrip(req)
	if err != nil {
		_, text := explain(err, ctx.Err(), progress.stage(), hubTimeout)
		return nil, fmt.Errorf("%s: %s", req.URL.Host, text)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && (read != nil || resp.StatusCode != http.StatusTooManyRequests) {
		return nil, fmt.Errorf("%s: %s", req.URL.Host, statusText(resp.StatusCode))
	}
	if read != nil {
		if err := read(io.LimitReader(resp.Body, maxBody)); err != nil {
			return nil, fmt.Errorf("%s: %w", req.URL.Host, err)
		}
	}
	return resp.Header, nil
}

func hubToken(body io.Reader) (redact.Secret, error) {
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(body).Decode(&answer); err != nil || answer.Token == "" {
		return redact.Secret{}, errors.New("the answer holds no token")
	}
	if strings.ContainsFunc(answer.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return redact.Secret{}, errors.New("the answer holds no token that can be sent")
	}
	return redact.New(answer.Token), nil
}

// parseHubLimit reads ratelimit-limit, ratelimit-remaining (both like
// 100;w=21600: pulls, and the seconds of the window) and
// docker-ratelimit-source. Without the first two no limit applies.
func parseHubLimit(h http.Header, now time.Time) (HubLimit, error) {
	l := HubLimit{Source: printable(h.Get("Docker-Ratelimit-Source")), Time: now}
	limit, remaining := h.Get("Ratelimit-Limit"), h.Get("Ratelimit-Remaining")
	if limit == "" && remaining == "" {
		l.Unlimited = true
		return l, nil
	}
	var err error
	if l.Limit, l.Window, err = parseQuota(limit); err != nil {
		return HubLimit{}, errors.New("the header ratelimit-limit cannot be read")
	}
	if l.Remaining, _, err = parseQuota(remaining); err != nil {
		return HubLimit{}, errors.New("the header ratelimit-remaining cannot be read")
	}
	return l, nil
}

// parseQuota reads "100;w=21600"; the window may be missing.
func parseQuota(s string) (pulls int, window time.Duration, err error) {
	first, rest, _ := strings.Cut(s, ";")
	n, err := strconv.ParseUint(strings.TrimSpace(first), 10, 31)
	if err != nil {
		return 0, 0, err
	}
	for parameter := range strings.SplitSeq(rest, ";") {
		if seconds, ok := strings.CutPrefix(strings.TrimSpace(parameter), "w="); ok {
			w, err := strconv.ParseUint(seconds, 10, 31)
			if err != nil {
				return 0, 0, err
			}
			window = time.Duration(w) * time.Second
		}
	}
	return int(n), window, nil
}
