// Package nspawn tries Berth's Debian package on a Debian with systemd as PID 1,
// booted by systemd-nspawn: install it, wire containerd, reboot, upgrade, purge.
//
// A trial has a tree of its own, copied from one that rootfs.sh makes once a
// machine, and a network of its own with nothing in it but loopback. There run
// the registry that is the mirror, and a stand-in for kubelet, a unit that pulls
// once at boot; both are the program in folder inside. What containerd asks of
// the mirror is read from a file, and at the end the tree is compared with what
// it was, file by file.
//
// It needs root, and with what make e2e builds:
//
//	go test -tags e2e ./test/nspawn
//
// Start reading at trial_test.go.
package nspawn
