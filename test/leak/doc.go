// Package leak searches for ways in which a node sends a secret to a host that must not have it:
// random configs, random images and misbehaving registries, pulled by containerd's own resolver
// with the credentials that kubelet would pass.
//
// Start with TestNoLeak. oracle_test.go decides which host may receive which secret, from the
// random config and without any code of Berth.
package leak
