// Package reconcile makes a node as its config wants it. The commands plan,
// apply, restore and credentials, and the agent, all go through it.
//
// [Node.Plan] compares and writes nothing. [Node.Apply] writes the files of
// certs.d and the rules of the credential provider, [Node.Restore] puts back
// every file as it was before Berth. A file that Berth did not write is changed
// only if the config says so, and never without a copy. No two processes write
// at the same time: a lock file makes them take turns.
//
// Package desired decides what the node should hold, package hostsconf writes
// hosts.toml files.
package reconcile
