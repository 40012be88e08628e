package command

import (
	"context"
	"encoding/json"
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
	"github.com/berth-registry/berth/internal/docs"
)

// Helper is the program that docker, podman, BuildKit and others execute for the name "berth" among
// their credHelpers; messages begin with it.
const Helper = "docker-credential-berth"

// verbGet is the argument with which docker asks for a credential.
const verbGet = "get"

// Texts that the clients of credential helpers compare:
// https://github.com/docker/docker-credential-helpers/blob/master/credentials/error.go
const (
	notFound = "credentials not found in native keychain"
	noServer = "no credentials server URL"
)

// maxServer is the size of the longest server URL, in bytes.
const maxServer = 64 << 10

const dockerUsage = `Gives docker, podman, buildah, BuildKit and crane credentials for registries: ECR tokens and the
logins of a RegistryConfig. They run it as root, with the server URL on stdin, if "credHelpers" in
their config.json says so: {"credHelpers": {"registry.corp": "berth"}}

Usage: %s [flags] get

  --rules FILE   the rules that berth apply writes (default %s);
                 without this file only registries of ECR get a credential
  --run-dir DIR  directory of the ECR tokens (default %s)
  --version      print the version and exit
  --help         print this and exit

The arguments store, erase and list are refused: logins are written into the RegistryConfig.
`

// serveDocker answers one request in docker's protocol:
// https://github.com/docker/docker-credential-helpers#development. It returns the exit status: 0
// with a credential on out, 1 with one line on out, which the client shows, or knows as "go on
// without". In the latter case errOut may have a line with the reason.
func (p Program) serveDocker(o options, wrong error, in io.Reader, out, errOut io.Writer) int {
	verb := strings.Join(o.args, " ")
	switch {
	case errors.Is(wrong, flag.ErrHelp):
		fmt.Fprintf(out, dockerUsage, Helper, credprovider.RulesFile, credprovider.TokenDir)
		return 0
	case wrong != nil:
		wrong = fmt.Errorf("%w; see --help", wrong)
	case o.version, verb == "version":
		fmt.Fprintln(out, p.Name, p.Version)
		return 0
	case verb == verbGet:
		wrong = p.get(o, in, out, errOut)
	case verb == "store", verb == "erase", verb == "list":
		wrong = fmt.Errorf("%s: this helper keeps no logins; write them into the RegistryConfig", verb)
	default:
		wrong = errors.New("the argument must be get; see --help")
	}
	switch {
	case wrong == nil:
		return 0
	case wrong == errNoServer:
		fmt.Fprintln(out, noServer)
	case errors.Is(wrong, credprovider.ErrNotServed):
		if wrong != credprovider.ErrNotServed {
			fmt.Fprintf(errOut, "%s: %s\n", Helper, oneLine(wrong))
		}
		fmt.Fprintln(out, notFound)
	default:
		fmt.Fprintf(out, "%s: %s\n", Helper, oneLine(wrong))
	}
	return 1
}

var errNoServer = errors.New(noServer)

func (p Program) get(o options, in io.Reader, out, errOut io.Writer) error {
	request, err := io.ReadAll(io.LimitReader(in, maxServer+1))
	server := strings.TrimSpace(string(request))
	switch {
	case err != nil:
		return fmt.Errorf("read the server URL: %w", err)
	case len(request) > maxServer:
		return fmt.Errorf("the server URL is larger than %d bytes", maxServer)
	case server == "":
		return errNoServer
	}
	rules, err := credprovider.ReadRules(o.rules)
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return fmt.Errorf(`%w; only root may use them: write "sudo-berth" in place of "berth" into credHelpers, `+
			"and set it up as %s says", err, docs.URL("credentials.md#users-other-than-root"))
	}
	if err != nil {
		return err
	}
	reasons := rules.UseHelperLogins(filepath.Dir(o.rules), time.Now())
	tokens, err := p.Tokens(rules, o.runDir, request)
	if err != nil {
		return err
	}
	c, err := (&credprovider.Provider{Rules: rules, Tokens: tokens, HelperErrors: reasons}).ServerCredential(context.Background(), server)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(struct{ ServerURL, Username, Secret string }{server, c.Username, c.Password.Reveal()})
}
