// Package move holds the tests of docs/move-to-a-private-registry.md and of
// docs/docker-hub-limit.md: they run the commands of a page, in their order, with
// the files that the page shows, and compare what they print with what the page
// says they print.
//
// It promises that nothing leaves this machine and nothing of it is read: the
// names of registries lead to registries in this process (see the package
// internet), the files of the workstation and of the nodes lie in a temporary
// directory. What is no real one are kubectl and rke; cluster_test.go says what
// stands in for them. Start reading at TestPage or TestHubPage.
package move
