// Package chart checks the rendered chart, without a cluster: every document is decoded strictly
// into the type of the API server, and the pod must have exactly the permissions that
// docs/kubernetes.md promises. test/cluster tests the chart on a real cluster.
package chart
