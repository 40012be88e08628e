//go:build !manpages

// Command berth decides where the container images of a node are pulled from, and with which
// credentials. "berth help" lists its verbs.
//
// Each verb has a file here with its flags, its output and its exit code; those of "berth images" are
// in a package of their own, and what all verbs share is in cli. The packages agent, node/... and
// images do the work. Start reading at verbs.go.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
