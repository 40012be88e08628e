// Package reconcile makes a node as its config says. The commands plan, apply, restore and
// credentials, and the agent, all go through it.
//
// The package promises:
//   - Only files that Berth wrote are changed. A file of another author is reported; it is replaced
//     only if the config says onConflict: adopt, with the original kept for restore.
//   - While certs.d changes, the credential provider gives a credential only to hosts that may have
//     it both before and after.
//   - An expired or replaced login is taken out of hosts.toml even if the disk is full.
//   - kubelet's own config.json is written only while kubelet uses no other file.
//   - One process writes at a time: agent, apply and restore share a lock file.
//
// [Node.Plan] writes nothing. It asks Docker's API on its socket how Docker is set; it sends requests
// to a network only through [Node.ProbeLogins]. Nothing here restarts or reconfigures containerd,
// Docker or kubelet.
//
// Start at [Node.Plan]; [Node.Apply] and the agent call [Node.Converge], which writes a plan;
// [Node.Restore] undoes it. Then by question:
//   - what happens when a write fails, for example because the disk is full: Node.write in
//     converge.go decides, disk_full.go acts
//   - what the credential provider is told, and when it must withhold everything:
//     provider_rules.go and transition_rules.go (package credprovider reads the rules and decides)
//   - which logins are in kubelet's own config.json: config_json.go
//   - which files the agent leaves for the next start: statefiles.go
//
// Package desired decides what the node should hold, package hostsconf renders, compares and
// writes hosts.toml files.
package reconcile
