// Package health tells which mirrors answer, and what a registry does with a
// login.
//
// A [Prober] asks the API root of each registry that it is given, without
// credentials, at a steady pace. Any HTTP answer below 500 means that the
// registry lives. A registry goes down after so many failures in a row and
// comes up after so many successes; it is down at the latest failures ×
// interval + 2 s after it died. It is reached as containerd would reach it:
// the same certificates, the same proxy. With [Prober.Remember] what an earlier
// one found dead is so from the start.
//
// For endpoints with a login it also learns two things, a few requests every
// six hours: whether the registry takes Basic on a manifest path, and whether
// it redirects blobs to a place to which Go would carry the login along. With
// [Prober.SetHub] it reads how many pulls Docker Hub still grants.
//
// A login goes to the host that it belongs to and to no other: no redirect is
// followed, no token realm is asked with it. No error, status or fact that
// comes out holds a secret. The package writes no file and decides nothing:
// leaving an endpoint out of hosts.toml is the caller's business.
//
// Start reading at [Prober.Set] and at health in health.go, which is the pure
// part; probe.go is one probe, learn.go what is learned and when.
package health
