// Berth-credential-provider gives kubelet the credentials for images: tokens for ECR, and the
// logins of a RegistryConfig. kubelet runs it, with a CredentialProviderRequest on stdin.
//
// It works from files: the rules that berth wrote, if they exist, and the ECR tokens that the
// processes of the node share. When no usable token is stored, or when it is time to ask a better
// source again, it starts berth-ecr-token in its place. It never reads the RegistryConfig, opens no
// connection and writes only lock files.
//
// Exit status: 0 with one answer on stdout; 1 with nothing on stdout and one line on stderr, which
// kubelet logs; 2 for wrong flags. Package credprovider/command does the work.
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
		Name: command.Name, Version: is, Tokens: command.FromFiles(is),
	}))
}
