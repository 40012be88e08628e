// Package node looks at one machine: which containerd runs there and with which configuration,
// whether it honours hosts.toml files, and which files have to be written so that it does.
//
// Looking changes nothing. The package reads files below the root that it is given and, if that
// root is this machine's, /proc. It runs "containerd --version" if the caller allows it, and no
// other program. It never changes a configuration that another tool writes at every start (k3s,
// RKE2, MicroK8s, EKS): [Wire] returns how to configure that tool. No result and no error holds a
// secret of a file or of a process' environment.
//
// Start reading at [Discover]. Package containerdconf decides what a configuration means.
package node
