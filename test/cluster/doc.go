// Package cluster tests the chart on a real cluster: etcd, the control plane, kubelet and
// containerd of the versions that parts.sh builds, all on loopback, with the image of the
// Dockerfile and with helm.
//
// The node is a directory: the chart's hostPaths.root redirects everything that Berth writes there.
// So the machine does not change, and the directory can be compared with its earlier state. Start
// reading at TestCluster.
//
// TestPodRoles has no chart: kubelet asks the credential provider with the tokens of service accounts,
// and the fake STS checks them against the keys of the API server.
//
// TestStartupTaint has one real node and twenty Node objects, whose agents the test reports as ready;
// controllers, scheduler, admission and the Deployment are real.
//
// TestNodeSetup needs two nodes whose containerd is a service that can be restarted: machines of
// systemd-nspawn, each with its own network and cgroups.
package cluster
