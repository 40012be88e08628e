// Package docker tests Docker Engine: how the real dockerd treats hosts.toml files, and that its
// pulls, pushes and builds ask the hosts that Berth says, with the logins that Berth says.
//
// One dockerd, with the containerd image store and a containerd of its own, runs through all
// scenarios. It lives in a mount namespace, so that its /etc/docker is a directory of the test. Its
// registries are decoys on loopback that record every request; whatever it asks beyond them is
// refused and recorded.
//
// It needs root, Debian's docker.io for the docker command, and what parts.sh and
// test/e2e/parts.sh build. Start reading at facts_test.go.
package docker
