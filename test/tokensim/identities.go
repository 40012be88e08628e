package tokensim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-registry/berth/agent/tokens"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/redact"
)

// The registries of [Identities]: three accounts in one region, each with an identity of its own.
const (
	accounts       = 3
	identityRegion = "us-east-1"
)

func accountHost(i int) string {
	return fmt.Sprintf("%d%d.dkr.ecr.%s.amazonaws.com", i+1, 11122223333, identityRegion)
}

// IdentityReport is the outcome of a trial of identities.
type IdentityReport struct {
	Seed uint64
	Span time.Duration
	// Calls, Failures and Tokens count what AWS answered, by identity.
	Calls, Failures, Tokens [accounts]int
	// Headers, Answers and Files count the tokens that were compared with their owner: those that
	// the agent would write into hosts.toml, answers of the credential provider, token files.
	Headers, Answers, Files int
	// Alone counts the looks at which AWS failed for one identity or two and not for the others.
	Alone int
	// Mixed counts tokens that another identity had, Late the looks at which an identity had no
	// token although AWS gives it one. Violations has the first of both.
	Mixed, Late int
	Violations  []string
}

// Verdict is nil when no token was mixed up and none was missing.
func (r IdentityReport) Verdict() error {
	if r.Mixed+r.Late == 0 {
		return nil
	}
	return fmt.Errorf("seed %d: %d tokens at another identity, %d missing, the first of them:\n%s",
		r.Seed, r.Mixed, r.Late, strings.Join(r.Violations, "\n"))
}

// IdentityOptions describe a trial of identities.
type IdentityOptions struct {
	Seed uint64
	Span time.Duration
	Dir  string // for the token files
	// FilesByRegion is a control: the token files are named by service and region alone.
	FilesByRegion bool
}

// Identities runs one node on which three registries of a region have chains of their own: the
// agent's refresher, the credential provider, the token files and the chains are the real ones. AWS
// fails for each identity at other times, files disappear, and the agent restarts.
func Identities(t *testing.T, o IdentityOptions) IdentityReport {
	n := &identityNode{IdentityOptions: o}
	synctest.Test(t, n.run)
	return n.report
}

type identityNode struct {
	IdentityOptions
	rnd        *rand.Rand
	rules      credprovider.Rules
	registries [accounts]ecr.Registry
	refresher  *tokens.Refresher
	stop       func()
	restarted  time.Time

	mu     sync.Mutex
	report IdentityReport
	phases [accounts]phase
	draws  [accounts]*rand.Rand
	owners map[string]int // of the tokens, by password
}

func (n *identityNode) run(t *testing.T) {
	n.rnd = rand.New(rand.NewPCG(n.Seed, 1))
	n.owners = map[string]int{}
	n.report.Seed, n.report.Span = n.Seed, n.Span
	n.rules.ECRSources = []ecr.Source{{InstanceProfile: &ecr.InstanceProfile{}}}
	n.rules.ECRChains = map[string][]ecr.Source{}
	for i := range accounts {
		n.draws[i] = rand.New(rand.NewPCG(n.Seed, uint64(2+i)))
		host := accountHost(i)
		if i > 0 {
			account, _, _ := strings.Cut(host, ".")
			n.rules.ECRNames = append(n.rules.ECRNames, ecr.Name{Host: host, Account: account, Region: identityRegion, Chain: host})
			n.rules.ECRChains[host] = n.sources(i)
		}
	}
	for i := range accounts {
		r, ok := n.rules.ECRNames.Parse(accountHost(i))
		if !ok {
			t.Fatalf("%s is no ECR host", accountHost(i))
		}
		n.registries[i] = r
	}
	n.start()
	defer func() { n.stop() }()
	for end := time.Now().Add(n.Span); time.Now().Before(end) && n.report.Mixed < enough; {
		time.Sleep(time.Duration(n.rnd.ExpFloat64() * float64(time.Hour)))
		switch k := n.rnd.IntN(100); {
		case k < 60:
			n.answer(t.Context(), n.rnd.IntN(accounts))
		case k < 64:
			if err := n.forget(); err != nil {
				t.Fatal(err)
			}
		case k < 66:
			n.stop()
			n.start()
		}
		n.look()
		if err := n.files(); err != nil {
			t.Fatal(err)
		}
	}
}

// sources returns the chain of a registry.
func (n *identityNode) sources(i int) []ecr.Source {
	if n.FilesByRegion {
		return []ecr.Source{{InstanceProfile: &ecr.InstanceProfile{}}} // one name for all of them
	}
	return []ecr.Source{{Static: &ecr.StaticKeys{AccessKeyID: redact.New(keyID(i)), SecretAccessKey: redact.New("secret")}}}
}

func keyID(i int) string { return fmt.Sprintf("AKIA%d", i) }

// open returns the token files as one process sees them.
func (n *identityNode) open() *credprovider.Tokens {
	return n.rules.Tokens(n.Dir, ecr.Options{Client: n, Getenv: func(string) string { return "" }})
}

func (n *identityNode) start() {
	draws := rand.New(rand.NewPCG(n.Seed, n.rnd.Uint64()))
	n.refresher = tokens.New(tokens.Options{Log: slog.New(slog.DiscardHandler), Rand: draws.Float64})
	n.refresher.Set(n.open(), n.registries[:])
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = n.refresher.Run(ctx) }) // otherwise it reports that it already runs
	n.stop = func() {
		cancel()
		wg.Wait()
	}
	n.restarted = time.Now()
}

// owner returns the identity that a source of a registry is.
func (n *identityNode) owner(r ecr.Registry, s ecr.Source) int {
	for i := range accounts {
		if n.FilesByRegion && r.Account == n.registries[i].Account || !n.FilesByRegion && s.Static != nil && s.Static.AccessKeyID.Reveal() == keyID(i) {
			return i
		}
	}
	return 0
}

// at returns the state of AWS for an identity. The caller holds the lock.
func (n *identityNode) at(i int) phase {
	for now := time.Now(); !now.Before(n.phases[i].until); {
		begin := n.phases[i].until
		if begin.IsZero() {
			begin = now
		}
		n.phases[i] = n.phases[i].following(n.draws[i], begin)
	}
	return n.phases[i]
}

// Token is AWS.
func (n *identityNode) Token(ctx context.Context, r ecr.Registry, s ecr.Source, _ bool) (ecr.Token, error) {
	i := n.owner(r, s)
	n.mu.Lock()
	p := n.at(i)
	wait, err := p.outcome(n.draws[i])
	n.report.Calls[i]++
	n.mu.Unlock()
	if !sleep(ctx, wait) {
		err = &ecr.Error{Outcome: ecr.Busy, Op: "get a token", Err: ctx.Err()}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var chain *ecr.ChainError
	if errors.As(err, &chain) {
		err = chain.Errs[0].Err
	}
	if err == nil && p.kind == stale {
		err = &ecr.Error{Outcome: ecr.Busy, Op: "get a token", Err: errors.New("it has expired")}
	}
	if err != nil {
		n.report.Failures[i]++
		return ecr.Token{}, err
	}
	n.report.Tokens[i]++
	password := fmt.Sprintf("token-%d-%d", i, n.report.Tokens[i])
	n.owners[password] = i
	now := time.Now()
	return ecr.Token{Username: "AWS", Password: redact.New(password), Issued: now, Expires: now.Add(p.life)}, nil
}

var errNotAsked = errors.New("this trial has no such call")

// Principal is not called: none of the sources can come to be another identity.
func (n *identityNode) Principal(context.Context, ecr.Registry, ecr.Source) (string, error) {
	return "", errNotAsked
}

// RoleToken is not called: no pod has a role.
func (n *identityNode) RoleToken(context.Context, ecr.Registry, string, redact.Secret) (ecr.Token, error) {
	return ecr.Token{}, errNotAsked
}

// CreateRepository is not called.
func (n *identityNode) CreateRepository(context.Context, ecr.Registry, ecr.Source, string) error {
	return errNotAsked
}

// mixed compares the owner of a token with the identity that has it.
func (n *identityNode) mixed(i int, password, where string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if owner, ok := n.owners[password]; !ok || owner != i {
		n.report.Mixed++
		n.violation("%s of identity %d has the token of %d", where, i, owner)
	}
}

func (n *identityNode) violation(format string, args ...any) {
	if len(n.report.Violations) < keptViolations {
		at := time.Now().UTC().Format("2006-01-02T15:04:05.000 ")
		n.report.Violations = append(n.report.Violations, at+fmt.Sprintf(format, args...))
	}
}

// answer is a pull of an image of a registry.
func (n *identityNode) answer(ctx context.Context, i int) {
	p := credprovider.Provider{Rules: n.rules, Tokens: n.open()}
	c, err := p.Credential(ctx, accountHost(i)+"/app", credprovider.Pod{})
	if err != nil {
		return // look counts the missing ones
	}
	n.report.Answers++
	n.mixed(i, c.Password.Reveal(), "an answer")
}

// look compares the tokens for the headers of hosts.toml.
func (n *identityNode) look() {
	failing := 0
	for i, r := range n.registries {
		t, ok := n.refresher.Token(r)
		if ok {
			n.report.Headers++
			n.mixed(i, t.Password.Reveal(), "a header")
		}
		n.mu.Lock()
		p := n.at(i)
		if p.kind != fair {
			failing++
		}
		calm := min(time.Since(p.since), time.Since(n.restarted))
		if !ok && p.kind == fair && p.life > 10*time.Second && calm > settled {
			n.report.Late++
			n.violation("identity %d has no token, although AWS has issued them for %s", i, time.Since(p.since))
		}
		n.mu.Unlock()
	}
	if failing > 0 && failing < accounts {
		n.report.Alone++
	}
}

// files compares the tokens in the files.
func (n *identityNode) files() error {
	names, err := filepath.Glob(filepath.Join(n.Dir, "*.json"))
	if err != nil {
		return err
	}
	for i, r := range n.registries {
		chain := n.open().Chains[r.Chain]
		if r.Chain == "" {
			chain = n.open().Chain
		}
		name := filepath.Join(n.Dir, "ecr_"+chain.Identity(0).Name+"_"+r.Region+".json")
		b, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		var file struct{ Token *struct{ Password string } }
		if err == nil {
			err = json.Unmarshal(b, &file)
		}
		if err != nil {
			return err
		}
		names = slices.DeleteFunc(names, func(other string) bool { return other == name })
		if file.Token != nil {
			n.report.Files++
			n.mixed(i, file.Token.Password, "the file")
		}
	}
	if len(names) > 0 {
		return fmt.Errorf("%q belong to no identity", names)
	}
	return nil
}

// forget removes the token files, as a restart of the machine does.
func (n *identityNode) forget() error {
	names, err := filepath.Glob(filepath.Join(n.Dir, "*"))
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
