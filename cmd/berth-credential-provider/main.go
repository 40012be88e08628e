// Berth-credential-provider gives kubelet the credentials for images: tokens for ECR, and the
// logins of a RegistryConfig. kubelet runs it, with a CredentialProviderRequest on stdin.
//
// It works from files: the rules that berth wrote, if they exist, and the ECR tokens that the
// processes of the node share. It asks AWS only when no usable token is stored, or when it is time
// to ask a better source again. It never reads the RegistryConfig and writes nothing but token
// files.
//
// Package credprovider does the work.
//
// Exit status: 0 with one answer on stdout; 1 with nothing on stdout and one line on stderr, which
// kubelet logs; 2 for wrong flags. Start reading at serve.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	programversion "github.com/berth-registry/berth/internal/version"
)

// version is set by the linker when a release is built.
var version = ""

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

const usage = `Gives kubelet credentials for images: ECR tokens and the logins of a RegistryConfig.
kubelet runs it, with a CredentialProviderRequest on stdin.

Usage: berth-credential-provider [flags]

  --rules FILE     the rules that berth apply writes (default %s);
                   without this file only images of ECR get a credential, if no
                   hosts.toml file of the node is for them
  --require-rules  fail without that file: for nodes that have a RegistryConfig
  --run-dir DIR    directory of the ECR tokens (default %s)
  --root DIR       directory below which the node's containerd files are (default /)
  --version        print the version and exit
  --help           print this and exit
`

func run(args []string, in io.Reader, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("berth-credential-provider", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	rulesFile := flags.String("rules", credprovider.RulesFile, "")
	require := flags.Bool("require-rules", false, "")
	root := flags.String("root", "/", "")
	runDir := flags.String("run-dir", credprovider.TokenDir, "")
	showVersion := flags.Bool("version", false, "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, usage, credprovider.RulesFile, credprovider.TokenDir)
		return 0
	case err != nil:
		fmt.Fprintf(errOut, "berth-credential-provider: %s; see --help\n", oneLine(err))
		return 2
	case flags.NArg() > 0:
		fmt.Fprintln(errOut, "berth-credential-provider: arguments are not accepted; see --help")
		return 2
	case *showVersion:
		fmt.Fprintln(out, "berth-credential-provider", programversion.Of(version))
		return 0
	}
	if err := serve(*rulesFile, *require, *root, *runDir, in, out); err != nil {
		fmt.Fprintf(errOut, "berth-credential-provider: %s\n", oneLine(err))
		return 1
	}
	return 0
}

func serve(rulesFile string, require bool, root, runDir string, in io.Reader, out io.Writer) error {
	if require {
		if _, err := os.Lstat(rulesFile); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: not there, and --require-rules wants it; run: berth apply", rulesFile)
		}
	}
	rules, err := credprovider.ReadRules(rulesFile)
	if err != nil {
		return err
	}
	provider := &credprovider.Provider{
		Rules:   rules,
		Tokens:  rules.Tokens(runDir, ecr.Options{}),
		Resolve: func(hostPath string) (string, error) { return filepath.Join(root, hostPath), nil },
	}
	return credprovider.Serve(context.Background(), in, out, provider)
}

// oneLine returns an error as one line, for kubelet's log.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
