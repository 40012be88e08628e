// Package install wires a node for Berth, and undoes it: it makes containerd read hosts.toml files,
// and kubelet ask the credential provider. On request it switches Docker to the image store that
// reads hosts.toml files.
//
// Nothing changes before the plan was shown and confirmed. A foreign file is put back byte for
// byte, or loses only Berth's changes if it was edited since. Whenever the process is killed,
// containerd and kubelet start with the files that are there, and the next run continues. No
// service is restarted without need, and after a restart that fails the files are as before. Values
// that may be secrets are not shown.
//
// The package never changes files that other tools write at every start (k3s, RKE2, MicroK8s, EKS),
// nor anything below certs.d, which the agent writes and "berth restore" undoes.
//
// Start reading at [Installer.Install], then containerd.go, kubelet.go and docker.go.
// docs/adr/0013-install.md has the reasons.
package install
