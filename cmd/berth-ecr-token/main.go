// Berth-ecr-token answers kubelet as berth-credential-provider does, and asks AWS for a token that
// is missing. berth-credential-provider starts it in its place; its file must be beside that one and
// of the same version.
//
// It writes nothing but token files. Package credprovider/command does the work.
package main

import (
	"os"
	"runtime"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/command"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/credprovider/ecr/client"
	programversion "github.com/berth-registry/berth/internal/version"
)

// version is set by the linker when a release is built.
var version = ""

func main() {
	// It mostly waits for one answer after the other: with a single processor, no thread has to wake
	// another one for it.
	runtime.GOMAXPROCS(1)
	is := programversion.Of(version)
	os.Exit(command.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, command.Program{
		Name: command.Fetcher, Version: is, Tokens: command.FromAWS(is, newClient),
	}))
}

func newClient(rules credprovider.Rules) ecr.Client {
	return client.New(client.Options{Proxy: rules.Proxy})
}
