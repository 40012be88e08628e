package config

import "reflect"

// DefaultEndpoint is an endpoint of which only the url is given.
func DefaultEndpoint(url string) Endpoint {
	e := Endpoint{URL: url}
	setDefaults(reflect.ValueOf(&e).Elem())
	return e
}

// SaysHowToReach reports whether r has anything but a login.
func (r Registry) SaysHowToReach() bool {
	return r.PlainHTTP || r.PlainHTTPGiven || r.AllowPlainHTTPCredentials || r.TLS.InsecureSkipVerify || r.TLS.CA != nil || r.TLS.Cert != nil
}
