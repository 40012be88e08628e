package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/ec2"
)

// ecrHosts are the ECR registries that the config names.
func (e *examination) ecrHosts() []ecr.Registry {
	if e.Config == nil {
		return nil
	}
	names := e.Config.ECRNames()
	var all []ecr.Registry
	take := func(written string) {
		host := written
		if _, rest, ok := strings.Cut(host, "://"); ok {
			host = rest
		}
		host, _, _ = strings.Cut(host, "/")
		if r, ok := names.Parse(host); ok {
			for _, have := range all {
				if have.Same(r) {
					return
				}
			}
			all = append(all, r)
		}
	}
	for _, m := range e.Config.Mirrors {
		take(m.Upstream)
		for _, endpoint := range m.Endpoints {
			take(endpoint.URL)
		}
	}
	if d := e.Config.DefaultRegistry; d != nil {
		take(d.URL)
	}
	for _, r := range e.Config.Registries {
		take(r.Host)
	}
	return all
}

// tokens checks that each ECR registry of the config has a valid token.
func (e *examination) tokens() {
	const name = "tokens"
	hosts := e.ecrHosts()
	dir, err := e.Machine.Root.Resolve(credprovider.TokenDir)
	if err != nil {
		e.add(name, Fail, fmt.Sprintf("%s: %v", credprovider.TokenDir, err), "make it a directory of mode 0700")
		return
	}
	if len(hosts) == 0 {
		e.add(name, OK, "the config names no ECR registry", "")
		return
	}
	var rules credprovider.Rules
	if file, err := e.Machine.Root.Resolve(credprovider.RulesFile); err == nil {
		if found, err := credprovider.ReadRules(file); err == nil {
			rules = found
		}
	}
	e.haveTokens = true
	tokens := rules.Tokens(dir, ecr.Options{Getenv: e.Getenv, Now: e.Now})
	for _, r := range hosts {
		if known, ok := rules.ECRNames.Parse(r.Host); ok {
			r = known
		}
		where := string(r.Service()) + " in " + r.Region
		if r.ServiceAccount.OnMissingRole == ecr.RoleOrNone {
			e.add(name, OK, fmt.Sprintf("%s is pulled from with the pod's own role (annotation %s)", r.Host, r.ServiceAccount.RoleAnnotation), "")
			continue
		}
		if token, ok := tokens.Cached(r); ok {
			e.add(name, OK, fmt.Sprintf("a token for %s by %s, until %s", where, token.Source, token.UsableUntil().UTC().Format(time.RFC3339)), "")
		} else {
			e.haveTokens = false
			e.add(name, Warn, "there is no valid token for "+where, fmt.Sprintf(`is the agent running? "berth credentials %s" shows which source fails`, r.Host))
		}
	}
}

// metadata asks the metadata service for a session, which is the first step to the credentials of
// the instance profile.
func (e *examination) metadata(ctx context.Context) {
	const name = "metadata"
	profile, others := e.sources()
	needed := profile && len(e.ecrHosts()) > 0
	if !needed && (e.Sys == "" || !ec2.Detected(e.Sys)) {
		e.add(name, OK, "not needed here", "")
		return
	}
	base, _ := ec2.Metadata(e.Getenv)
	status, err := e.session(ctx, base)
	var detail, remedy string
	switch timeout, isNet := err.(net.Error); {
	case err == nil && status == http.StatusOK:
		e.add(name, OK, "the metadata service answers", "")
		return
	case err == nil:
		detail = fmt.Sprintf("the metadata service answers %d to a request for a session", status)
		remedy = "enable IMDSv2 for this instance"
	case isNet && timeout.Timeout():
		detail = "the metadata service does not answer within 2 s"
		remedy = "in a container raise the hop limit of the instance to 2, or use the host's network"
	default:
		detail = "there is no metadata service at " + base
	}
	switch {
	case !needed:
		e.add(name, OK, detail, "")
	case e.haveTokens:
		e.add(name, OK, detail+"; none is needed, because another source of the config gives the tokens", "")
	case others:
		// The config has static keys or another source already, so the remedy is not to add them.
		e.add(name, Warn, detail, cmp.Or(remedy, `the other sources of the config are used after it: see "tokens" above`))
	case remedy == "":
		e.add(name, Warn, detail, "give static keys under ecr.credentials")
	default:
		e.add(name, Warn, detail, remedy+", or give static keys under ecr.credentials")
	}
}

// sources reports whether the config uses the instance profile, and whether it has another source
// of credentials. Static keys without a field are those of the environment.
func (e *examination) sources() (profile, others bool) {
	if e.Config == nil {
		return false, false
	}
	for _, c := range e.Config.ECR.Credentials {
		switch k := c.Static; {
		case c.InstanceProfile != nil:
			profile = true
		case k == nil || !k.AccessKeyID.IsZero() || k.SharedCredentialsFile != "" || e.Getenv("AWS_ACCESS_KEY_ID") != "":
			others = true
		}
	}
	return profile || len(e.Config.ECR.Credentials) == 0, others
}

// session returns the HTTP status of a request for a session. The session is a secret and is not
// read.
func (e *examination) session(ctx context.Context, base string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, base+"/latest/api/token", nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("X-aws-ec2-metadata-token-ttl-seconds", "60")
	client := e.Client
	if client == nil {
		transport := &http.Transport{} // no proxy
		defer transport.CloseIdleConnections()
		client = &http.Client{Transport: transport, Timeout: 2 * time.Second}
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}
