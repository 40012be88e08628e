// Package health reports which mirrors answer, and what a registry does with a login.
//
// A [Prober] sends GET to the API root of each registry that it is given, without credentials, at a
// steady pace. Any HTTP answer below 500 means that the registry is up. A registry becomes down
// after Settings.Failures failures in a row, at the latest failures × interval + 2 s after it died,
// and up after Settings.Successes successes in a row. Probes use the certificates and the proxy
// that containerd would use. [Prober.RestoreHealth] makes registries that an earlier Prober found
// down start as down.
//
// For endpoints with a login the Prober also learns two facts, with a few requests every six hours,
// or one every hour if the registry accepts only tokens: whether the registry accepts Basic on a
// manifest path, and whether it redirects blobs to a host to which Go would carry the login. With
// [Prober.SetHub] it reads how many pulls Docker Hub still allows.
//
// A login is sent to the host that it belongs to and to no other: no redirect is followed, and no
// token server gets it but Docker Hub's. No error, status or fact holds a secret. The package
// writes no file and does not change hosts.toml: the caller decides what to leave out.
//
// Start reading at [Prober.Set] in prober.go, then health.go (up and down: pure functions),
// target.go and probe.go (one registry, one probe), loginschedule.go and loginprobe.go (when and how
// the Prober learns about a login).
package health
