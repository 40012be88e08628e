// Package cluster is the trial of the chart on a real cluster: etcd, the control
// plane, kubelet and containerd of the versions that parts.sh builds, all on
// loopback, with the image that the Dockerfile makes and helm itself.
//
// The node is a directory: the chart's hostPaths.root leads everything that
// Berth writes there, so that the machine stays as it is, and the tree can be
// compared with what it was before. Start reading at TestCluster.
//
// TestNodeSetup needs nodes whose containerd is a service that can be restarted,
// and two of them: machines of systemd-nspawn, each with its own network and
// cgroups.
package cluster
