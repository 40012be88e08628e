// Package trace finds out where an image would come from if containerd pulled it now, and why: the
// directory of certs.d that wins, the hosts in the order in which they are asked, the credential of
// each, the answer of each, and the host that would serve the image.
//
// It uses containerd's own resolver and fetcher, host by host, with the files, proxy, headers and
// logins of the node's containerd. release.go has the behaviour of older releases that differs.
//
// docker.go does the same for the node's Docker Engine, which links the same code and adds settings
// of its own.
//
// Nothing on the node is changed. A login is sent to its own host, and to a token server only if
// package internal/realm allows it; otherwise the verdict is unknown. A redirect is followed
// without the login. No result holds a secret; of a registry's answer it holds only status, digest,
// limit and type, and the scheme and host of its token server and of its redirect. A trace costs
// each host a few requests and some bytes of one layer; if Docker Hub serves the image, it counts
// as one pull.
//
// Start reading at [Tracer.Image]; verdict.go is a pure function of the answers.
package trace
