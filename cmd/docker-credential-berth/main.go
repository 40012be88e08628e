// Docker-credential-berth gives docker, podman, buildah, BuildKit and crane the credentials for
// registries: tokens for ECR, and the logins of a RegistryConfig. They run it as a credential helper,
// with the argument get and the server URL on stdin.
//
// It works from the files that berth-credential-provider has, and as that one does: it opens no
// connection, writes nothing, and starts berth-ecr-token in its place if AWS has to be asked.
//
// Exit status: 0 with one JSON document on stdout; 1 with one line on stdout, which is an error or
// tells the client to go on without a credential. Package credprovider/command does the work.
package main

import (
	"os"

	"github.com/berth-registry/berth/credprovider/command"
	programversion "github.com/berth-registry/berth/internal/version"
)

// version is set by the linker when a release is built.
var version = ""

func main() {
	is := programversion.Of(version)
	os.Exit(command.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, command.Program{
		Name: command.Helper, Version: is, Tokens: command.FromFiles(is),
	}))
}
