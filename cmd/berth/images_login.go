package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"golang.org/x/net/http/httpproxy"

	"github.com/berth-registry/berth/agent/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/images"
	"github.com/berth-registry/berth/internal/hostport"
)

// ways are how registries are reached and logged in to.
type ways struct {
	access images.Access
	aws    *ecr.Chain
	cfg    *config.Config // nil without one
}

// ways takes the logins from the config, if there is one, from docker's config,
// and from AWS.
func (o *options) ways(stderr io.Writer) (ways, error) {
	cfg, err := o.configForImages(stderr)
	if err != nil {
		return ways{}, err
	}
	w := ways{cfg: cfg, access: images.Access{Docker: authn.DefaultKeychain}}
	options := ecr.Options{Log: o.logger(stderr)}
	if cfg != nil {
		w.access.Logins = credprovider.NewLogins(configLogins(cfg))
		w.access.Settings = configSettings(cfg)
		w.access.Proxy = configProxy(cfg.Proxy)
		for _, r := range cfg.ECR.Registries {
			w.access.ECRNames = append(w.access.ECRNames, ecr.Name{Host: r.Host, Account: r.Account, Region: r.Region})
		}
		options.Sources = configSources(cfg)
		options.Proxy = ecr.Proxy{HTTP: cfg.Proxy.HTTPProxy, HTTPS: cfg.Proxy.HTTPSProxy, No: cfg.Proxy.NoProxy}
	}
	dir, err := below(o.root, []string{credprovider.TokenDir})
	if err != nil {
		return ways{}, err
	}
	w.aws = ecr.NewChain(options)
	w.access.ECR = &credprovider.Tokens{Dir: dir[0], Chain: w.aws, Log: o.logger(stderr)}
	return w, nil
}

// configForImages is the config if there is one that may be read: whoever moves
// images need not be root.
func (o *options) configForImages(stderr io.Writer) (*config.Config, error) {
	m, cfg, err := o.openMaybe(stderr)
	if err != nil && o.config == "" && errors.Is(err, fs.ErrPermission) {
		fmt.Fprintf(stderr, "note: going on without the config of this node: %v\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return cfg, m.Close()
}

func configLogins(cfg *config.Config) (registries, docker []credprovider.Login) {
	for _, r := range cfg.Registries {
		if r.Username == "" {
			continue
		}
		host, path := credprovider.SplitHost(r.Host)
		registries = append(registries, credprovider.Login{Host: host, Path: path, Username: r.Username, Password: r.Password})
	}
	for _, l := range cfg.DockerConfig {
		host, path := credprovider.SplitHost(l.Host)
		docker = append(docker, credprovider.Login{Host: host, Path: path, Username: l.Username, Password: l.Password})
	}
	return registries, docker
}

func configSettings(cfg *config.Config) []images.Settings {
	var all []images.Settings
	for _, r := range cfg.Registries {
		host, _ := credprovider.SplitHost(r.Host)
		all = append(all, images.Settings{
			Host: r.Host, Login: r.Username != "", Reach: r.SaysHowToReach() || hostport.IsLoopback(host),
			PlainHTTP: r.PlainHTTP, AllowPlainHTTPCredentials: r.AllowPlainHTTPCredentials,
			CA: r.TLS.CA, Cert: r.TLS.Cert, Key: r.TLS.Key, InsecureSkipVerify: r.TLS.InsecureSkipVerify,
		})
	}
	return all
}

func configSources(cfg *config.Config) []ecr.Source {
	var all []ecr.Source
	for _, c := range cfg.ECR.Credentials {
		if c.InstanceProfile != nil {
			all = append(all, ecr.Source{InstanceProfile: &ecr.InstanceProfile{}})
			continue
		}
		k := c.Static
		all = append(all, ecr.Source{Static: &ecr.StaticKeys{
			AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken,
			SharedCredentialsFile: k.SharedCredentialsFile, Profile: k.Profile, RoleARN: k.RoleARN,
		}})
	}
	return all
}

// configProxy is the proxy of the config; nil leaves it to the environment.
func configProxy(p config.Proxy) func(*http.Request) (*url.URL, error) {
	if p.HTTPProxy.IsZero() && p.HTTPSProxy.IsZero() {
		return nil
	}
	c := httpproxy.Config{HTTPProxy: p.HTTPProxy.Reveal(), HTTPSProxy: p.HTTPSProxy.Reveal(), NoProxy: p.NoProxy}
	choose := c.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return choose(r.URL) }
}
