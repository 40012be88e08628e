// Package chart checks what the chart renders, without a cluster: every document
// is decoded strictly into the type that the API server has for it, and what the
// pod may do is held to what docs/kubernetes.md promises. The trial on a real
// cluster is in test/cluster.
package chart
