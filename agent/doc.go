// Package agent is the daemon: until it is stopped, it keeps the files of one node as the
// RegistryConfig says.
//
// One loop runs after each event and on a timer. Each pass computes the whole desired state and
// writes only the difference.
//
// The package promises:
//   - A config that cannot be used changes nothing. The last usable one stays in effect, after a
//     restart too.
//   - One agent works on a machine; a second one waits for its end.
//   - A pull never waits for the agent: containerd and the credential provider read files.
//
// It never restarts or reconfigures containerd, Docker or kubelet; it only reads containerd's
// configuration, to report whether containerd reads what the agent writes. Apart from token
// files, it writes only through package node/reconcile, which keeps the rules about files of
// others. No secret is in its log or on its status page.
//
// Start at [Agent.Run]; one pass of the loop is Agent.reconcileOnce, in reconcile.go. Then by
// question:
//   - how often a pass runs: loop.go
//   - where the config is from, and what a bad one does: configsource.go
//   - what the next agent inherits, such as which mirrors are dead: saved_state.go
//   - what the status page shows: state.go (what the loop records) and snapshot.go (the rest)
//
// The packages below this one renew tokens, probe mirrors, watch files and show the state.
package agent
