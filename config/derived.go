package config

import (
	"reflect"

	"github.com/berth-registry/berth/config/syntax"
)

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
