package config

import "reflect"

// DefaultEndpoint returns the endpoint for a url, with every other field at its default.
func DefaultEndpoint(url string) Endpoint {
	e := Endpoint{URL: url}
	setDefaults(reflect.ValueOf(&e).Elem())
	return e
}

// SaysHowToReach reports whether r has settings other than a login.
func (r Registry) SaysHowToReach() bool {
	return r.PlainHTTP || r.PlainHTTPGiven || r.AllowPlainHTTPCredentials || r.TLS.InsecureSkipVerify || r.TLS.CA != nil || r.TLS.Cert != nil
}
