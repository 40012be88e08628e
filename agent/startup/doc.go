// Package startup removes the taint with which nodes join a cluster, when the agent on the node is
// ready: hosts.toml files are written, and the credential provider is in its place. Pods that do
// not tolerate the taint start after that, so that their first pull goes through the mirror.
//
// It runs once in a cluster, in a pod with a right to patch nodes, and not in the agent, which has
// no right at all. It promises:
//   - Only taints with the given key are removed. A patch names the version of the node that it was
//     made for, so no taint of others is lost.
//   - A taint stays until a pod of a DaemonSet of Berth was ready on that node, in this life of the
//     node: not while another machine had its name. With a limit, it also goes when that has passed.
//   - Two at once are harmless.
//
// Start reading at [Controller.Run]; judge in judge.go decides.
package startup
