// Package node tells what a node is: which containerd runs there and from which
// configuration, whether hosts.toml files will be honoured, and what has to be
// written so that they are.
//
// What it promises: looking changes nothing. It reads files below the root that
// it is given and, where that root is this machine's, /proc; it runs
// "containerd --version" if the caller lets it, and nothing else. What other
// tools write anew at every start (k3s, RKE2, microk8s, EKS) is never changed:
// [Wire] then says where the tool has to be told. No secret of a file or of a
// process' environment is in a result or an error.
//
// Start reading at [Discover]. What a configuration means is the business of
// package containerdconf.
package node
