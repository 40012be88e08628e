// Package credprovider finds the credential for an image. It speaks kubelet's credential provider
// protocol, knows which login is for which host, and keeps ECR tokens in files that all processes
// of a node share.
//
// It promises that a credential is given only if every host that containerd would ask for the image
// may have it. When the rules are unreadable, outdated or missing and a hosts.toml decides, it
// withholds the credential.
//
// It never reads the RegistryConfig and parses no hosts.toml; only credprovider/ecr knows AWS. It
// writes token files and nothing else. A secret leaves it in an answer to kubelet and in files of
// mode 0600.
//
// Start with [Provider.Credential]: image → hosts that containerd would ask → the credential that
// all of them may have, or none. [Serve] adds kubelet's protocol, [Tokens] are the token files, and
// [Rules] is the part of the RegistryConfig that the provider knows: the writer of that file
// decides which host may have a secret.
package credprovider
