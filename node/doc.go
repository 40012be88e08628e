// Package node inspects a machine: which containerd, Docker Engine, kubelet and credential
// providers run there, from which configuration, and whether hosts.toml files are read. [Wire] says
// how containerd's configuration must change so that containerd reads them.
//
// The package promises that nothing is changed: it reads files below the root that it is given and,
// if that root is this machine's, /proc; it runs containerd and dockerd with --version if the
// caller allows it, and asks Docker's API on its socket below the root for two documents. No secret
// of a file or of a process' environment is in an error, and in a result only as a redacted type.
//
// [Wire] never touches a configuration that another tool writes at each start (k3s, RKE2,
// microk8s, EKS); its error then says where to configure that tool.
//
// [FindKubeletLogins] says which files with logins the running kubelet uses.
//
// Start at [Discover] and [DiscoverDocker]. Package internal/containerdconf says what a
// configuration means. The packages below decide (desired) and write (reconcile) what the node
// holds, and serve the verbs install, doctor and trace.
package node
