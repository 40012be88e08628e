// Package command is what the programs have in common that answer kubelet and docker: flags, exit
// status and messages of berth-credential-provider, docker-credential-berth and berth-ecr-token.
//
// kubelet starts a process for each image, and almost all of them find a token in a file. So the
// first two programs link no network code. When AWS has to be asked, they start berth-ecr-token in
// their place (execve): the same process, the same arguments, the same lock.
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
	"time"

	"github.com/berth-registry/berth/credprovider"
)

// Name is the program that kubelet knows; messages begin with it.
const Name = "berth-credential-provider"

// Program is one of the programs.
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

// options are the flags and arguments of a program.
type options struct {
	rules, root, runDir string
	require, version    bool
	args                []string
}

// parse reads flags. Those about hosts.toml files and nodes are kubelet's alone.
func (p Program) parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.rules, "rules", credprovider.RulesFile, "")
	flags.StringVar(&o.runDir, "run-dir", credprovider.TokenDir, "")
	flags.BoolVar(&o.version, "version", false, "")
	if p.Name != Helper {
		flags.StringVar(&o.root, "root", "/", "")
		flags.BoolVar(&o.require, "require-rules", false, "")
	}
	err := flags.Parse(args)
	o.args = flags.Args()
	return o, err
}

// Run answers one request: of docker for [Helper], and for [Fetcher] with docker's argument; else of
// kubelet. For kubelet it returns the exit status 0 with one answer on out; 1 with nothing on out and
// one line on errOut, which kubelet logs; 2 for wrong flags.
func Run(args []string, in io.Reader, out, errOut io.Writer, p Program) int {
	o, err := p.parse(args)
	if p.Name == Helper || p.Name == Fetcher && len(o.args) > 0 && o.args[0] == verbGet {
		return p.serveDocker(o, err, in, out, errOut)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, usage, p.Name, credprovider.RulesFile, credprovider.TokenDir)
		return 0
	case err != nil:
		fmt.Fprintf(errOut, "%s: %s; see --help\n", Name, oneLine(err))
		return 2
	case len(o.args) > 1, len(o.args) == 1 && o.args[0] != "get-credentials":
		fmt.Fprintf(errOut, "%s: no argument but get-credentials is accepted; see --help\n", Name)
		return 2
	case o.version:
		fmt.Fprintln(out, p.Name, p.Version)
		return 0
	}
	if err := p.serve(o, in, out); err != nil {
		fmt.Fprintf(errOut, "%s: %s\n", Name, oneLine(err))
		return 1
	}
	return 0
}

func (p Program) serve(o options, in io.Reader, out io.Writer) error {
	if o.require {
		if _, err := os.Lstat(o.rules); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: not there, and --require-rules wants it; run: berth apply", o.rules)
		}
	}
	rules, err := credprovider.ReadRules(o.rules)
	if err != nil {
		return err
	}
	reasons := rules.UseHelperLogins(filepath.Dir(o.rules), time.Now())
	request, err := credprovider.ReadRequest(in)
	if err != nil {
		return err
	}
	tokens, err := p.Tokens(rules, o.runDir, request)
	if err != nil {
		return err
	}
	provider := &credprovider.Provider{
		Rules:        rules,
		Tokens:       tokens,
		Resolve:      func(hostPath string) (string, error) { return filepath.Join(o.root, hostPath), nil },
		HelperErrors: reasons,
	}
	return credprovider.Serve(context.Background(), bytes.NewReader(request), out, provider)
}

// oneLine returns an error as one line, for kubelet's log.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
