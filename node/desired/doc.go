// Package desired computes what a node should hold: the hosts.toml directories
// of certs.d, the rules of the credential provider, and the images about which
// kubelet has to ask it.
//
// Everything here is a function of values: the config, tokens, and what is
// known of the node and its mirrors ([Inputs]). The package reads no file,
// writes none and opens no connection.
//
// Start at [Compute]; [Channel] decides how a login reaches a registry.
package desired
