// Package trace tells where an image would come from if containerd pulled it
// now, and why: the directory of certs.d that wins, the hosts in the order in
// which they are asked, the credential that each gets, what each answers, and
// the one that will serve it.
//
// It asks with containerd's own resolver and fetcher, host by host, as the
// containerd of the node would: the same files, proxy, headers and logins. What
// older releases do in another way is in release.go.
//
// What it promises: nothing on the node is changed. A login goes to the host
// that it belongs to, and to a token server only if that belongs to it
// (internal/realm); otherwise the verdict is that it cannot be told; a redirect is followed without it. No secret is in a result, and of
// what a registry sent nothing but status, digest, limit and type, and scheme
// and host of its token server and of where it redirects to. Asking costs each
// host a few requests and some bytes of one layer; where Docker Hub serves the
// image it costs one pull of its limit.
//
// Start reading at [Tracer.Image]; verdict.go is the pure part.
package trace
