// Package credprovider finds the credential for an image: it speaks kubelet's
// credential provider protocol, knows which login belongs to which host, and
// keeps ECR tokens in files that all processes of a node share.
//
// Start with [Provider.Credential]: image → the hosts that containerd would
// ask → the credential that each of them may have, or none. [Serve] puts
// kubelet's protocol around it. [Tokens] are the token files. [Rules] is what
// it knows of the RegistryConfig; whoever writes that file decides what can
// leak.
//
// The package knows no hosts.toml and, but for credprovider/ecr, no AWS. It
// writes token files and nothing else; a secret leaves it in an answer to
// kubelet and in files of mode 0600.
package credprovider
