// Package command is what the two programs have in common that answer kubelet: flags, exit status
// and messages of berth-credential-provider and of berth-ecr-token.
//
// kubelet starts a process for each image, and almost all of them find a token in a file. So
// berth-credential-provider links no network code. When AWS has to be asked, it starts
// berth-ecr-token in its place (execve): the same process, the same arguments, the same lock.
//
// Start with [Run].
package command

import (
	"bytes"
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
)

// Name is the program that kubelet knows; messages begin with it.
const Name = "berth-credential-provider"

// Program is one of the two programs.
type Program struct {
	// Name is the name of the file, and Version its version, as --version prints them.
	Name, Version string
	// Tokens returns the access to token files in dir, for one request.
	Tokens func(rules credprovider.Rules, dir string, request []byte) (*credprovider.Tokens, error)
}

const usage = `Gives kubelet credentials for images: ECR tokens and the logins of a RegistryConfig.
kubelet runs it, with a CredentialProviderRequest on stdin.

Usage: %s [flags]

  --rules FILE     the rules that berth apply writes (default %s);
                   without this file only images of ECR get a credential, if no
                   hosts.toml file of the node is for them
  --require-rules  fail without that file: for nodes that have a RegistryConfig
  --run-dir DIR    directory of the ECR tokens (default %s)
  --root DIR       directory below which the node's containerd files are (default /)
  --version        print the version and exit
  --help           print this and exit

The argument get-credentials, which a configuration for ecr-credential-provider has, is accepted.
`

// Run answers one request. It returns the exit status: 0 with one answer on out; 1 with nothing on
// out and one line on errOut, which kubelet logs; 2 for wrong flags.
func Run(args []string, in io.Reader, out, errOut io.Writer, p Program) int {
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	rulesFile := flags.String("rules", credprovider.RulesFile, "")
	require := flags.Bool("require-rules", false, "")
	root := flags.String("root", "/", "")
	runDir := flags.String("run-dir", credprovider.TokenDir, "")
	showVersion := flags.Bool("version", false, "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, usage, p.Name, credprovider.RulesFile, credprovider.TokenDir)
		return 0
	case err != nil:
		fmt.Fprintf(errOut, "%s: %s; see --help\n", Name, oneLine(err))
		return 2
	case flags.NArg() > 1, flags.NArg() == 1 && flags.Arg(0) != "get-credentials":
		fmt.Fprintf(errOut, "%s: no argument but get-credentials is accepted; see --help\n", Name)
		return 2
	case *showVersion:
		fmt.Fprintln(out, p.Name, p.Version)
		return 0
	}
	if err := p.serve(*rulesFile, *require, *root, *runDir, in, out); err != nil {
		fmt.Fprintf(errOut, "%s: %s\n", Name, oneLine(err))
		return 1
	}
	return 0
}

func (p Program) serve(rulesFile string, require bool, root, runDir string, in io.Reader, out io.Writer) error {
	if require {
		if _, err := os.Lstat(rulesFile); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: not there, and --require-rules wants it; run: berth apply", rulesFile)
		}
	}
	rules, err := credprovider.ReadRules(rulesFile)
	if err != nil {
		return err
	}
	request, err := credprovider.ReadRequest(in)
	if err != nil {
		return err
	}
	tokens, err := p.Tokens(rules, runDir, request)
	if err != nil {
		return err
	}
	provider := &credprovider.Provider{
		Rules:   rules,
		Tokens:  tokens,
		Resolve: func(hostPath string) (string, error) { return filepath.Join(root, hostPath), nil },
	}
	return credprovider.Serve(context.Background(), bytes.NewReader(request), out, provider)
}

// oneLine returns an error as one line, for kubelet's log.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
