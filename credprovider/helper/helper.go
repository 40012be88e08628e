// Package helper asks credential helpers, programs docker-credential-NAME that speak the protocol of
// https://github.com/docker/docker-credential-helpers, for the login of a registry.
//
// It promises that a call ends soon after its time limit, whatever the program does; that no process
// of the program's group is left; that nothing that the program printed is in an error; and that an
// answer for another host is refused. It writes no file. Start reading at [Runner.Ask].
package helper

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/internal/boundedexec"
	"github.com/berth-registry/berth/internal/dockerhub"
	"github.com/berth-registry/berth/internal/hostport"
	"github.com/berth-registry/berth/internal/redact"
)

const (
	limit     = 20 * time.Second
	maxOutput = 64 << 10 // bytes; usual are 2,000
	// dockerHubKey is the name under which docker and its helpers know Docker Hub.
	dockerHubKey = "https://index.docker.io/v1/"
	// noLogin is what a helper prints if it has no login.
	noLogin = "credentials not found in native keychain"
	// identityToken as the user name says that the secret is for a token server's OAuth2 alone.
	identityToken = "<token>"
)

// Runner runs credential helpers. The zero value is ready for use; several goroutines may use it.
type Runner struct {
	Now     func() time.Time // nil: time.Now
	Environ func() []string  // nil: os.Environ
	Limit   time.Duration    // 0: 20 seconds
}

// Ask runs the program of s and returns its answer. The error is an *[Error].
func (r Runner) Ask(ctx context.Context, s credprovider.HelperSource) (credprovider.HelperLogin, error) {
	environ := os.Environ
	if r.Environ != nil {
		environ = r.Environ
	}
	env := environment(environ())
	path, err := find(s.Program, env)
	if err != nil {
		return credprovider.HelperLogin{}, err
	}
	bound := limit
	if r.Limit > 0 {
		bound = r.Limit
	}
	key := ServerKey(s.Registry)
	out, err := boundedexec.Run(ctx, boundedexec.Command{
		Path: path, Args: []string{"get"}, Env: env, Stdin: []byte(key + "\n"), Limit: bound, MaxOutput: maxOutput,
	})
	// After the program has ended: what it gives may be minted just now.
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	fail := func(c Class) (credprovider.HelperLogin, error) {
		return credprovider.HelperLogin{}, &Error{Program: s.Program, Class: c}
	}
	exit := (*exec.ExitError)(nil)
	switch {
	case errors.Is(err, boundedexec.ErrOutput):
		return fail(TooLarge)
	case errors.Is(err, context.DeadlineExceeded):
		return fail(Timeout)
	case errors.Is(err, context.Canceled):
		return fail(Interrupted)
	case errors.As(err, &exit) && strings.TrimSpace(string(out)) == noLogin:
		return fail(NoLogin)
	case errors.As(err, &exit):
		return credprovider.HelperLogin{}, &Error{Program: s.Program, Class: ExitCode, Exit: exit.ExitCode()}
	case err != nil:
		return fail(CannotStart)
	}
	l, class := parse(out, s.Registry, now().Round(0))
	if class != "" {
		return fail(class)
	}
	l.Registry, l.Program = s.Registry, s.Program
	return l, nil
}

// ServerKey is what a helper is asked for: the URL of Docker Hub that docker uses, else host[:port].
func ServerKey(registry string) string {
	host, _ := credprovider.SplitHost(registry)
	if dockerhub.Is(host) {
		return dockerHubKey
	}
	return host
}

// parse reads an answer; the class is "" if it can be used.
func parse(out []byte, registry string, now time.Time) (credprovider.HelperLogin, Class) {
	none := credprovider.HelperLogin{}
	if strings.TrimSpace(string(out)) == "" {
		return none, Empty
	}
	var a struct{ ServerURL, Username, Secret *string }
	// encoding/json replaces bytes that are not UTF-8: the login would be another one.
	if !utf8.Valid(out) || json.Unmarshal(out, &a) != nil {
		return none, NotJSON
	}
	host, _ := credprovider.SplitHost(registry)
	switch {
	case a.ServerURL != nil && *a.ServerURL != "" && !names(*a.ServerURL, host):
		return none, OtherHost
	case a.Secret == nil || *a.Secret == "" || a.Username == nil || *a.Username == "":
		return none, Empty
	case *a.Username == identityToken:
		return none, IdentityToken
	case strings.Contains(*a.Username, ":") || strings.ContainsFunc(*a.Username, unicode.IsControl) || strings.ContainsFunc(*a.Secret, binary):
		return none, Unusable
	}
	l := credprovider.HelperLogin{Username: *a.Username, Password: redact.New(*a.Secret), Issued: now, Expires: expiry(*a.Secret)}
	if !l.Expires.IsZero() && !l.Expires.After(now) {
		return none, Expired
	}
	return l, ""
}

// binary reports whether c is a control character that no password has; a key in JSON has several
// lines.
func binary(c rune) bool {
	return unicode.IsControl(c) && c != '\n' && c != '\r' && c != '\t'
}

// names reports whether a server URL is of a host.
func names(server, host string) bool {
	if _, rest, ok := strings.Cut(server, "://"); ok {
		server = rest
	}
	server, _ = credprovider.SplitHost(server)
	server, err := hostport.Parse(hostport.TrimDot(server))
	return err == nil && (credprovider.SameHost(server, host, "https") || dockerhub.Is(server) && dockerhub.Is(host))
}

// environment is what a helper gets: that of this process, without keys of AWS, which are for
// Berth's own requests, and without what systemd passes to the service alone.
func environment(environ []string) []string {
	return boundedexec.Without(environ, append(boundedexec.AWSKeys(),
		"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "CREDENTIALS_DIRECTORY"))
}
