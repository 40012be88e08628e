// Package nspawn tests Berth's Debian package on a Debian with systemd as PID 1 in systemd-nspawn:
// install, configure containerd, reboot, upgrade, purge.
//
// Each test has its own copy of a file tree that rootfs.sh makes once a machine, and its own
// network with only a loopback. There run the registry that is the mirror, and a stand-in for
// kubelet, a unit that pulls once at boot; both are the program in folder inside. containerd's
// requests to the mirror are read from a file. At the end the tree is compared with its first
// state, file by file.
//
// It needs root, and the programs that make e2e-systemd builds. Start reading at package_test.go.
package nspawn
