// Package desired computes what a node should hold: the hosts.toml directories of certs.d
// ([Compute]), the rules by which the credential provider decides which host gets a credential
// ([RuleDirectories]), and the images about which kubelet has to ask it ([KubeletImages]).
//
// The package promises that a login is in hosts.toml only where no reader of the file is known to
// send it to another host, or where the config says auth: basic ([Channel]), and that a mirror is
// left out only while something else is known to answer. It is pure: a result depends only on the
// arguments, which are the config and what is known of the node ([Inputs]). It reads and writes no
// file and opens no connection.
//
// Start at [Compute]. Then by question:
//   - which host gets a header, and in which case none: logins.go and channel.go
//   - how a host is reached, https or http and with which CA: reach.go
//   - when a dead mirror leaves hosts.toml and returns: dead_mirrors.go
//   - which hosts the credential provider has to compare: provider_rules.go
//
// Package node/reconcile calls Compute and writes the result.
package desired
