// Package agent is the daemon. It keeps a node as its config wants it, until it
// is stopped: one loop computes the whole desired state after each event, and
// writes the difference.
//
// Start at [Agent.Run]; a turn of the loop is in reconcile.go. What a turn
// writes, and how, is the business of package reconcile, which the commands
// share. The packages below renew tokens, probe mirrors, watch files and show
// the state.
package agent
