// Package move holds the test of docs/move-to-a-private-registry.md: it runs
// the commands of the page, in their order, with the files that the page shows,
// and compares what they print with what the page says they print.
//
// It promises that nothing leaves this machine and nothing of it is read: the
// names of registries lead to registries in this process (see the package
// internet), the files of the workstation and of the nodes lie in a temporary
// directory. What is no real one are kubectl and rke; cluster_test.go says what
// stands in for them. Start reading at TestPage.
package move
