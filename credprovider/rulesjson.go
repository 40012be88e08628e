package credprovider

import (
	"slices"

	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/proxy"
	"github.com/berth-registry/berth/internal/redact"
)

// The types of the rules file. They hold secrets as plain strings; no other type does.
type (
	wireRules struct {
		Version      int         `json:"version"`
		Registries   []wireLogin `json:"registries,omitempty"`
		DockerConfig []wireLogin `json:"dockerConfig,omitempty"`
		ECR          wireECR     `json:"ecr"`
		Proxy        *wireProxy  `json:"proxy,omitempty"`
		CertsDir     string      `json:"certsDir,omitempty"`
		Missing      bool        `json:"missing,omitempty"`
		Directories  []Directory `json:"directories,omitempty"`
	}
	wireLogin struct {
		Login
		Password string `json:"password"`
	}
	wireECR struct {
		Credentials []wireSource `json:"credentials,omitempty"`
		Registries  []ecr.Name   `json:"registries,omitempty"`
		// Chains are the sources of registries with their own chain, by its name.
		Chains map[string][]wireSource `json:"chains,omitempty"`
	}
	wireSource struct {
		InstanceProfile *struct{}   `json:"instanceProfile,omitempty"`
		Static          *wireStatic `json:"static,omitempty"`
		SDK             *wireSDK    `json:"sdk,omitempty"`
	}
	wireStatic struct {
		AccessKeyID           string `json:"accessKeyID,omitempty"`
		AccessKeyIDFile       string `json:"accessKeyIDFile,omitempty"`
		SecretAccessKey       string `json:"secretAccessKey,omitempty"`
		SecretAccessKeyFile   string `json:"secretAccessKeyFile,omitempty"`
		SessionToken          string `json:"sessionToken,omitempty"`
		SessionTokenFile      string `json:"sessionTokenFile,omitempty"`
		SharedCredentialsFile string `json:"sharedCredentialsFile,omitempty"`
		Profile               string `json:"profile,omitempty"`
		RoleARN               string `json:"roleARN,omitempty"`
	}
	wireSDK struct {
		Profile         string `json:"profile,omitempty"`
		ConfigFile      string `json:"configFile,omitempty"`
		CredentialsFile string `json:"credentialsFile,omitempty"`
	}
	wireProxy struct {
		HTTP  string `json:"httpProxy,omitempty"`
		HTTPS string `json:"httpsProxy,omitempty"`
		No    string `json:"noProxy,omitempty"`
	}
)

func (w wireRules) rules() Rules {
	r := Rules{
		Registries:   logins(w.Registries),
		DockerConfig: logins(w.DockerConfig),
		ECRNames:     w.ECR.Registries,
		CertsDir:     w.CertsDir,
		Missing:      w.Missing,
		Directories:  w.Directories,
	}
	r.ECRSources = sources(w.ECR.Credentials)
	for name, list := range w.ECR.Chains {
		if r.ECRChains == nil {
			r.ECRChains = map[string][]ecr.Source{}
		}
		r.ECRChains[name] = sources(list)
	}
	if p := w.Proxy; p != nil {
		r.Proxy = proxy.Settings{HTTP: redact.New(p.HTTP), HTTPS: redact.New(p.HTTPS), No: p.No}
	}
	return r
}

func logins(list []wireLogin) []Login {
	var all []Login
	for _, w := range list {
		w.Login.Password = redact.New(w.Password)
		all = append(all, w.Login)
	}
	return all
}

func sources(list []wireSource) []ecr.Source {
	var all []ecr.Source
	for _, w := range list {
		all = append(all, w.source())
	}
	return all
}

func (w wireSource) source() ecr.Source {
	if k := w.SDK; k != nil {
		return ecr.Source{SDK: &ecr.SDK{Profile: k.Profile, ConfigFile: k.ConfigFile, CredentialsFile: k.CredentialsFile}}
	}
	s := w.Static
	if s == nil {
		return ecr.Source{InstanceProfile: &ecr.InstanceProfile{}}
	}
	return ecr.Source{Static: &ecr.StaticKeys{
		AccessKeyID: redact.New(s.AccessKeyID), AccessKeyIDFile: s.AccessKeyIDFile,
		SecretAccessKey: redact.New(s.SecretAccessKey), SecretAccessKeyFile: s.SecretAccessKeyFile,
		SessionToken: redact.New(s.SessionToken), SessionTokenFile: s.SessionTokenFile,
		SharedCredentialsFile: s.SharedCredentialsFile, Profile: s.Profile, RoleARN: s.RoleARN,
	}}
}

func wireOf(r Rules) wireRules {
	w := wireRules{
		Version:      rulesVersion,
		Registries:   wireLogins(r.Registries),
		DockerConfig: wireLogins(r.DockerConfig),
		ECR:          wireECR{Registries: r.ECRNames},
		CertsDir:     r.CertsDir,
		Missing:      r.Missing,
		Directories:  r.Directories,
	}
	w.ECR.Credentials = wireSources(r.ECRSources)
	if usesSDK(r.ECRSources) || r.forPods() {
		w.Version = rulesIdentities
	}
	for name, list := range r.ECRChains {
		if w.ECR.Chains == nil {
			w.ECR.Chains = map[string][]wireSource{}
		}
		w.ECR.Chains[name] = wireSources(list)
		if usesSDK(list) {
			w.Version = rulesIdentities
		}
	}
	if slices.ContainsFunc(r.Registries, Login.FromHelper) {
		w.Version = rulesHelpers
	}
	if r.Proxy != (proxy.Settings{}) {
		w.Proxy = &wireProxy{HTTP: r.Proxy.HTTP.Reveal(), HTTPS: r.Proxy.HTTPS.Reveal(), No: r.Proxy.No}
	}
	return w
}

func wireLogins(list []Login) []wireLogin {
	var all []wireLogin
	for _, l := range list {
		if l.FromHelper() { // its answers have a file of their own
			l.Username, l.Password = "", redact.Secret{}
		}
		all = append(all, wireLogin{Login: l, Password: l.Password.Reveal()})
	}
	return all
}

func usesSDK(list []ecr.Source) bool {
	return slices.ContainsFunc(list, func(s ecr.Source) bool { return s.SDK != nil })
}

func wireSources(list []ecr.Source) []wireSource {
	var all []wireSource
	for _, s := range list {
		all = append(all, wireSourceOf(s))
	}
	return all
}

func wireSourceOf(s ecr.Source) wireSource {
	if k := s.SDK; k != nil {
		return wireSource{SDK: &wireSDK{Profile: k.Profile, ConfigFile: k.ConfigFile, CredentialsFile: k.CredentialsFile}}
	}
	k := s.Static
	if k == nil {
		return wireSource{InstanceProfile: &struct{}{}}
	}
	return wireSource{Static: &wireStatic{
		AccessKeyID: k.AccessKeyID.Reveal(), AccessKeyIDFile: k.AccessKeyIDFile,
		SecretAccessKey: k.SecretAccessKey.Reveal(), SecretAccessKeyFile: k.SecretAccessKeyFile,
		SessionToken: k.SessionToken.Reveal(), SessionTokenFile: k.SessionTokenFile,
		SharedCredentialsFile: k.SharedCredentialsFile, Profile: k.Profile, RoleARN: k.RoleARN,
	}}
}
