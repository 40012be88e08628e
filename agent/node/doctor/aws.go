package doctor

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
)

// ecrHosts are the ECR registries that the config names.
func (e *examination) ecrHosts() []ecr.Registry {
	if e.Config == nil {
		return nil
	}
	var names ecr.Names
	for _, r := range e.Config.ECR.Registries {
		names = append(names, ecr.Name{Host: r.Host, Account: r.Account, Region: r.Region})
	}
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

// tokens tells whether there is one for each ECR registry of the config.
func (e *examination) tokens() {
	const name = "tokens"
	hosts := e.ecrHosts()
	dir, err := e.Host.Root.Resolve(credprovider.TokenDir)
	if err != nil {
		e.add(name, Fail, fmt.Sprintf("%s: %v", credprovider.TokenDir, err), "make it a directory of mode 0700")
		return
	}
	if len(hosts) == 0 {
		e.add(name, OK, "the config names no ECR registry", "")
		return
	}
	var rules credprovider.Rules
	if file, err := e.Host.Root.Resolve(credprovider.RulesFile); err == nil {
		if found, err := credprovider.ReadRules(file); err == nil {
			rules = found
		}
	}
	tokens := rules.Tokens(dir, ecr.Options{Getenv: e.Getenv, Now: e.Now, SysDir: e.Sys})
	for _, r := range hosts {
		if known, ok := rules.ECRNames.Parse(r.Host); ok {
			r = known
		}
		where := string(r.Service()) + " in " + r.Region
		if token, ok := tokens.Cached(r); ok {
			e.add(name, OK, fmt.Sprintf("a token for %s by %s, until %s", where, token.Source, token.Ends().UTC().Format(time.RFC3339)), "")
		} else {
			e.add(name, Warn, "no valid token for "+where+" is here", fmt.Sprintf(`is the agent running? "berth credentials %s" tells which source fails`, r.Host))
		}
	}
}

// metadataAddress is where AWS has its metadata service.
const metadataAddress = "http://169.254.169.254"

// metadata asks the metadata service for a session, as the first step to the
// instance profile.
func (e *examination) metadata(ctx context.Context) {
	const name = "metadata"
	profile := false
	if e.Config != nil {
		for _, c := range e.Config.ECR.Credentials {
			profile = profile || c.InstanceProfile != nil
		}
		profile = profile || len(e.Config.ECR.Credentials) == 0
	}
	needed := profile && len(e.ecrHosts()) > 0
	if !needed && !e.looksLikeEC2() {
		e.add(name, OK, "not needed here", "")
		return
	}
	base := strings.TrimRight(e.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"), "/")
	if base == "" {
		base = metadataAddress
	}
	status, err := e.session(ctx, base)
	level := Warn
	if !needed {
		level = OK
	}
	switch timeout, isNet := err.(net.Error); {
	case err == nil && status == http.StatusOK:
		e.add(name, OK, "the metadata service answers", "")
	case err == nil:
		e.add(name, level, fmt.Sprintf("the metadata service answers %d to a request for a session", status), "switch IMDSv2 on for this instance, or give static keys under ecr.credentials")
	case isNet && timeout.Timeout():
		e.add(name, level, "the metadata service does not answer within 2 s", "in a container raise the hop limit of the instance to 2, or use the host's network")
	default:
		e.add(name, level, "there is no metadata service at "+base, "give static keys under ecr.credentials")
	}
}

// session gives the status of a request for a session. The session itself is a
// secret and is not read.
func (e *examination) session(ctx context.Context, base string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, base+"/latest/api/token", nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("X-aws-ec2-metadata-token-ttl-seconds", "60")
	client := e.Client
	if client == nil {
		transport := &http.Transport{} // without a proxy
		defer transport.CloseIdleConnections()
		client = &http.Client{Transport: transport, Timeout: 2 * time.Second}
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

func (e *examination) looksLikeEC2() bool {
	if e.Sys == "" {
		return false
	}
	vendor, err := os.ReadFile(filepath.Join(e.Sys, "class", "dmi", "id", "sys_vendor"))
	return err == nil && strings.HasPrefix(string(vendor), "Amazon EC2")
}
