// Package install wires a node for Berth, and undoes it: containerd is made to
// read hosts.toml files, kubelet to ask the credential provider.
//
// What it promises: nothing changes before it was shown and agreed to; a file of
// somebody else is put back byte for byte, or loses only what we added if it was
// edited since; whenever the process is killed, containerd and kubelet start
// with what lies there, and the next run goes on; no service is restarted that
// need not be, and after a restart that fails the files are as before. Values
// that may be secrets are not shown.
//
// It never touches what other tools write anew at every start (k3s, RKE2,
// MicroK8s, EKS), nor anything below certs.d: that is the agent's, and "berth
// restore" undoes it.
//
// Start reading at [Installer.Install], then containerd.go and kubelet.go.
// docs/adr/0013-install.md has the reasons.
package install
