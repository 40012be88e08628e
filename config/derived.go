package config

import (
	"reflect"
	"slices"
	"time"

	"github.com/berth-registry/berth/config/syntax"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
)

// Logins returns the logins in the order in which they are looked up: those of
// registries, then those of the docker config file. Logins of credential helpers have no
// username and password here: [credprovider.HelperLogins.Fill] adds them.
func (c *Config) Logins() (registries, docker []credprovider.Login) {
	for _, r := range c.Registries {
		if !r.HasLogin() {
			continue
		}
		host, path := credprovider.SplitHost(r.Host)
		l := credprovider.Login{
			Host: host, Path: path, Username: r.Username, Password: r.Password, Token: r.Auth == AuthToken,
		}
		if r.CredentialHelper != "" {
			l.Helper, l.MaxStale = r.CredentialHelper, time.Duration(r.MaxStale)
		}
		registries = append(registries, l)
	}
	for _, l := range c.DockerConfig {
		host, path := credprovider.SplitHost(l.Host)
		docker = append(docker, credprovider.Login{Host: host, Path: path, Username: l.Username, Password: l.Password, Bearer: l.Bearer})
	}
	return registries, docker
}

// Helpers returns the logins that credential helpers give, in the order of registries.
func (c *Config) Helpers() []credprovider.HelperSource {
	var all []credprovider.HelperSource
	for _, r := range c.Registries {
		if r.CredentialHelper != "" {
			all = append(all, credprovider.HelperSource{
				Registry: r.Host, Program: r.CredentialHelper,
				Refresh: time.Duration(r.Refresh), MaxStale: time.Duration(r.MaxStale),
			})
		}
	}
	return all
}

// AllMirrors returns the mirrors that the config lists, then those that
// defaultRegistry adds.
func (c *Config) AllMirrors() []Mirror {
	all := slices.Clone(c.Mirrors)
	if r := c.DefaultRegistry; r != nil {
		for _, upstream := range r.For {
			all = append(all, Mirror{
				Upstream:         upstream,
				Endpoints:        []Endpoint{DefaultEndpoint(r.URL)},
				UpstreamFallback: r.UpstreamFallback,
			})
		}
	}
	return all
}

// ProviderRules returns the rules of the credential provider that follow from the
// config alone: logins, ECR names and sources, and the proxy. Their Directories
// are empty. They hold the secrets that the config names by file, because the
// provider may run where those files cannot be read.
func (c *Config) ProviderRules() credprovider.Rules {
	registries, docker := c.Logins()
	rules := credprovider.Rules{
		Registries:   registries,
		DockerConfig: docker,
		ECRNames:     c.ECRNames(),
		Proxy:        c.Proxy.Settings(),
	}
	rules.ECRSources = ecrSources(c.ECR.Credentials)
	own := map[string][]ecr.Source{}
	for _, r := range c.ECR.Registries {
		if len(r.Credentials) > 0 {
			own[r.Host] = ecrSources(r.Credentials)
		}
	}
	for _, r := range c.Registries {
		if r.ECR != nil && len(r.ECR.Credentials) > 0 {
			own[r.Host] = ecrSources(r.ECR.Credentials)
		}
	}
	if len(own) > 0 {
		rules.ECRChains = own
	}
	return rules
}

func ecrSources(credentials []ECRCredential) []ecr.Source {
	var all []ecr.Source
	for _, c := range credentials {
		all = append(all, ecrSource(c))
	}
	return all
}

func ecrSource(c ECRCredential) ecr.Source {
	if c.InstanceProfile != nil {
		return ecr.Source{InstanceProfile: &ecr.InstanceProfile{}}
	}
	if s := c.SDK; s != nil {
		return ecr.Source{SDK: &ecr.SDK{Profile: s.Profile, ConfigFile: s.ConfigFile, CredentialsFile: s.CredentialsFile}}
	}
	k := c.Static
	return ecr.Source{Static: &ecr.StaticKeys{
		AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken,
		SharedCredentialsFile: k.SharedCredentialsFile, Profile: k.Profile, RoleARN: k.RoleARN,
	}}
}

// ECRNames returns the names of ECR registries that no pattern of ECR matches, and
// for each registry with a chain of credentials of its own, or for the pod's own
// role, which it is.
func (c *Config) ECRNames() ecr.Names {
	var names ecr.Names
	for _, r := range c.ECR.Registries {
		name := ecr.Name{Host: r.Host, Account: r.Account, Region: r.Region}
		if len(r.Credentials) > 0 {
			name.Chain = r.Host
		}
		names = append(names, name)
	}
	for _, r := range c.Registries {
		if own, ok := names.Parse(r.Host); ok && r.ECR != nil {
			name := ecr.Name{Host: r.Host, Account: own.Account, Region: own.Region, ServiceAccount: r.ECR.ServiceAccount.setting()}
			if len(r.ECR.Credentials) > 0 {
				name.Chain = r.Host
			}
			names = append(names, name)
		}
	}
	if s := c.ECR.ServiceAccount; s != nil {
		names = append(names, ecr.Name{Host: ecr.EveryRegistry, ServiceAccount: s.setting()})
	}
	return names
}

// RoleAnnotations returns the annotations of service accounts that hold a pod's role; the default one
// if the config names none.
func (c *Config) RoleAnnotations() []string {
	var all []string
	for _, n := range c.ECRNames() {
		if a := n.ServiceAccount.RoleAnnotation; a != "" && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	if all == nil {
		return []string{ecr.RoleAnnotation}
	}
	return all
}

// setting returns s for package ecr, the zero value for nil.
func (s *ServiceAccount) setting() ecr.ServiceAccount {
	if s == nil {
		return ecr.ServiceAccount{}
	}
	return ecr.ServiceAccount{RoleAnnotation: s.RoleAnnotation, OnMissingRole: s.OnMissingRole}
}

// DefaultEndpoint returns the endpoint for a url, with every other field at its default.
func DefaultEndpoint(url string) Endpoint {
	e := Endpoint{URL: url}
	syntax.SetDefaults(reflect.ValueOf(&e).Elem())
	return e
}

// HasLogin reports whether r has a login: in the config, or from a credential helper.
func (r Registry) HasLogin() bool { return r.Username != "" || r.CredentialHelper != "" }

// SaysHowToReach reports whether r has settings other than a login.
func (r Registry) SaysHowToReach() bool {
	return r.PlainHTTP || r.PlainHTTPGiven || r.AllowPlainHTTPCredentials || r.TLS.InsecureSkipVerify || r.TLS.CA != nil || r.TLS.Cert != nil
}
