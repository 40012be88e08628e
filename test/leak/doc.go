// Package leak tries to make a node give a secret to a host that must not have
// it: random configs, random images and registries that behave badly, pulled
// by containerd's own resolver with what kubelet would pass.
//
// Start with TestNoLeak. What may be seen where is decided in oracle_test.go,
// from the config as it was drawn and without any code of Berth.
package leak
