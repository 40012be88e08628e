package config

import (
	"slices"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
)

// Logins gives the logins of a config in the order in which they are looked
// up: registries, then the docker config file.
func Logins(cfg *Config) (registries, docker []credprovider.Login) {
	for _, r := range cfg.Registries {
		if r.Username == "" {
			continue
		}
		host, path := credprovider.SplitHost(r.Host)
		registries = append(registries, credprovider.Login{
			Host: host, Path: path, Username: r.Username, Password: r.Password, Token: r.Auth == AuthToken,
		})
	}
	for _, l := range cfg.DockerConfig {
		host, path := credprovider.SplitHost(l.Host)
		docker = append(docker, credprovider.Login{Host: host, Path: path, Username: l.Username, Password: l.Password})
	}
	return registries, docker
}

// AllMirrors gives the mirrors of the config and those that defaultRegistry
// stands for.
func AllMirrors(cfg *Config) []Mirror {
	all := slices.Clone(cfg.Mirrors)
	if r := cfg.DefaultRegistry; r != nil {
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

// ProviderRules gives what the credential provider has to know of a config, but for
// the directories. Secrets that the config names by file are in it, because
// the provider may run where those files are not.
func ProviderRules(cfg *Config) credprovider.Rules {
	registries, docker := Logins(cfg)
	rules := credprovider.Rules{
		Registries:   registries,
		DockerConfig: docker,
		ECRNames:     ECRNames(cfg),
		Proxy:        ecr.Proxy{HTTP: cfg.Proxy.HTTPProxy, HTTPS: cfg.Proxy.HTTPSProxy, No: cfg.Proxy.NoProxy},
	}
	rules.ECRSources = ecrSources(cfg.ECR.Credentials)
	for _, r := range cfg.Registries {
		if r.ECR == nil {
			continue
		}
		if rules.ECRChains == nil {
			rules.ECRChains = map[string][]ecr.Source{}
		}
		rules.ECRChains[r.Host] = ecrSources(r.ECR.Credentials)
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
	k := c.Static
	return ecr.Source{Static: &ecr.StaticKeys{
		AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken,
		SharedCredentialsFile: k.SharedCredentialsFile, Profile: k.Profile, RoleARN: k.RoleARN,
	}}
}

func ECRNames(cfg *Config) ecr.Names {
	var names ecr.Names
	for _, r := range cfg.ECR.Registries {
		names = append(names, ecr.Name{Host: r.Host, Account: r.Account, Region: r.Region})
	}
	for _, r := range cfg.Registries {
		if own, ok := names.Parse(r.Host); ok && r.ECR != nil {
			names = append(names, ecr.Name{Host: r.Host, Account: own.Account, Region: own.Region, Chain: r.Host})
		}
	}
	return names
}
