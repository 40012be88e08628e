// Package desired computes what a node should hold: the hosts.toml directories of certs.d
// ([Compute]), the rules by which the credential provider decides who gets a credential
// ([RuleDirectories]), and the images about which kubelet has to ask it ([KubeletImages]).
//
// The package promises that a login is in hosts.toml only where no reader of the file sends it
// to another host ([Channel]), and that a mirror is left out only while something else is known
// to answer. It is pure: a result depends only on the arguments, which are the config and what
// is known of the node ([Inputs]). It reads and writes no file and opens no connection.
//
// Start at [Compute]. Package node/reconcile calls it and writes the result.
package desired
