// Package move tests docs/move-to-a-private-registry.md and docs/docker-hub-limit.md: it runs the
// commands of a page, in their order, with the files that the page shows, and compares their output
// with the page.
//
// Nothing leaves this machine, and no file of it is read: the names of registries lead to
// registries in this process (see package internet), and the files of the workstation and of the
// nodes are in a temporary directory. kubectl and rke are stand-ins; see cluster_test.go. Start
// reading at TestPage or TestHubPage.
package move
