package leak

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/credprovider/ecr/client"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

var (
	seedFlag  = flag.Uint64("seed", 1, "what the trial is drawn from")
	pullsFlag = flag.Int("pulls", 1000, "how many images are pulled")
)

// perRound is the number of images pulled with one config.
const perRound = 10

func TestMain(m *testing.M) {
	// No test may reach a real metadata service.
	os.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
	goleak.VerifyTestMain(m)
}

// startAWS runs a fake AWS and makes this process use it.
func startAWS(t *testing.T) *fakeaws.Server {
	t.Helper()
	fake, err := fakeaws.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fake.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, e := range fake.Env() {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	t.Setenv("HOME", t.TempDir())
	fake.SetRole("node", fakeaws.Key{ID: "ASIANODE", Secret: canary + "-role", Session: canary + "-session"})
	return fake
}

// TestNoLeak pulls random images with random configs from misbehaving registries. No host may
// receive a secret that it must not have; the cases that do not count as leaks are those of
// verdict, and the test prints them.
func TestNoLeak(t *testing.T) {
	fake := startAWS(t)
	certificates, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	trial := &trial{fake: fake, authority: certificates, seed: *seedFlag, ours: newTally(), control: newTally(), reader: newTally(), shared: newTally(), headers: newTally(), unprobed: newTally()}
	dir := t.TempDir()
	rounds := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for n := range rounds {
				if err := trial.run(t.Context(), filepath.Join(dir, fmt.Sprint(n)), n); err != nil {
					t.Errorf("round %d: %v", n, err)
				}
			}
		})
	}
	for n := range (*pullsFlag + perRound - 1) / perRound {
		rounds <- n
	}
	close(rounds)
	workers.Wait()
	trial.report(t)
}

type trial struct {
	fake          *fakeaws.Server
	authority     *authority
	seed          uint64
	ours, control *tally
	reader        *tally // of the control that follows symlinks, see naiveRules
	shared        *tally // of the control whose token files are named by region alone, see sharedFiles
	// headers is that of pulls with the headers alone; unprobed is that of their control, for which
	// apply has asked no registry.
	headers, unprobed *tally
}

// run is one round: a config, Berth, then the control with the same servers.
func (tr *trial) run(ctx context.Context, dir string, n int) error {
	r, err := tr.nextRound(ctx, dir, n)
	if err != nil {
		return err
	}
	tr.ours.mu.Lock()
	tr.ours.foreign += r.foreign
	tr.ours.linked += len(r.linked)
	tr.ours.mu.Unlock()
	view, err := r.view(filepath.Join(filepath.Dir(r.root), "view"))
	if err != nil {
		return err
	}
	rules := filepath.Join(r.root, credprovider.RulesFile)
	k, err := newKubelet(rules, filepath.Join(r.root, credprovider.TokenDir), view)
	if err != nil {
		return err
	}
	if err := tr.pulls(ctx, r, view, tr.ours, k.credential); err != nil {
		return err
	}
	chain := ecr.NewChain(ecr.Options{Sources: k.provider.Rules.ECRSources, Client: client.New(client.Options{})})
	other := &naive{round: r, tokens: &credprovider.Tokens{Dir: filepath.Join(dir, "naive"), Chain: chain}}
	if err := tr.pulls(ctx, r, view, tr.control, other.credential); err != nil {
		return err
	}
	if err := r.oneIdentityEach(tr.fake); err != nil {
		return err
	}
	if len(r.ownKeys) > 0 {
		if err := tr.pulls(ctx, r, view, tr.shared, k.sharedFiles().credential); err != nil {
			return err
		}
	}
	if len(r.linked) > 0 {
		k.provider.Rules, k.cache = r.naiveRules(k.provider.Rules), map[string]map[string]passed{}
		if err := tr.pulls(ctx, r, view, tr.reader, k.credential); err != nil {
			return err
		}
	}
	if err := tr.headersAlone(ctx, r, view); err != nil {
		return err
	}
	return tr.quiet(r)
}

// nextRound returns the nth round. A config that Berth refuses is counted and replaced.
func (tr *trial) nextRound(ctx context.Context, dir string, n int) (*round, error) {
	rnd := rand.New(rand.NewPCG(tr.seed, uint64(n)))
	for attempt := range 20 {
		r, err := newRound(rnd, fmt.Sprintf("r%dx%d", n, attempt), filepath.Join(dir, fmt.Sprint(attempt)), tr.fake, perRound)
		if err != nil {
			return nil, err
		}
		w := newWorld(tr.seed, r, tr.fake, tr.authority, tr.ours)
		w.next(probing, "")
		err = errors.Join(r.apply(ctx, w), w.close())
		if !errors.Is(err, errRefused) {
			return r, err
		}
		if err := tr.quiet(r); err != nil {
			return nil, err
		}
		tr.ours.mu.Lock()
		tr.ours.refused++
		tr.ours.mu.Unlock()
	}
	return nil, errors.New("every config was refused")
}

// pulls pulls the images of a round; certsDir is as the node has it.
func (tr *trial) pulls(ctx context.Context, r *round, certsDir string, t *tally, credential func(context.Context, string) (passed, error)) error {
	w := newWorld(tr.seed, r, tr.fake, tr.authority, t)
	for i, img := range r.images {
		var p passed
		if !img.bare {
			var err error
			p, err = credential(ctx, img.name)
			fmt.Fprintln(&r.output, err)
			withheld := (*credprovider.WithheldError)(nil)
			t.mu.Lock()
			switch {
			case errors.As(err, &withheld):
				t.withheld++
			case p.password != "":
				t.offered++
			default:
				t.none++
			}
			t.mu.Unlock()
		}
		w.next(i, p.password)
		err := pull(ctx, w, certsDir, img.ref, p)
		t.mu.Lock()
		t.pulls++
		if err == nil {
			t.done++
		}
		t.mu.Unlock()
	}
	return w.close()
}

// quiet searches Berth's output, and files that others can read, for secrets.
func (tr *trial) quiet(r *round) error {
	if shows(r.output.String()) {
		return fmt.Errorf("a secret shows in what Berth said: %s", r.output.String())
	}
	wide, err := wideFiles(r.root)
	if err == nil && len(wide) > 0 {
		err = fmt.Errorf("others can read the secrets in %q", wide)
	}
	return err
}

// pull does the same as containerd's CRI with a credential without a host: every host that asks
// gets it.
func pull(ctx context.Context, w *network, certsDir, ref string, p passed) error {
	ctx = silent(ctx)
	resolver := docker.NewResolver(docker.ResolverOptions{
		Hosts: dockerconfig.ConfigureHosts(ctx, dockerconfig.HostOptions{
			HostDir:      dockerconfig.HostDirFromRoot(certsDir),
			Credentials:  func(string) (string, string, error) { return p.username, p.password, nil },
			UpdateClient: w.client,
		}),
	})
	name, desc, err := resolver.Resolve(ctx, ref)
	if err != nil {
		return err
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return err
	}
	body, err := fetch(ctx, fetcher, desc)
	if err != nil {
		return err
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(body, &manifest); err != nil {
		return err
	}
	var errs []error
	for _, d := range append([]ocispec.Descriptor{manifest.Config}, manifest.Layers...) {
		_, err := fetch(ctx, fetcher, d)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// silent keeps containerd's packages from printing.
func silent(ctx context.Context) context.Context {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	return log.WithLogger(ctx, logrus.NewEntry(logger))
}

func fetch(ctx context.Context, fetcher remotes.Fetcher, d ocispec.Descriptor) ([]byte, error) {
	rc, err := fetcher.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	body, err := io.ReadAll(rc)
	if err == nil && digest.FromBytes(body) != d.Digest {
		err = fmt.Errorf("%s is something else", d.Digest)
	}
	return body, err
}

// report prints the table. It fails for a leak, and for a test that could not have seen one.
func (tr *trial) report(t *testing.T) {
	ours, control, headers := tr.ours, tr.control, tr.headers
	t.Logf("seed %d: %d pulls (%d complete, %d requests), credentials offered %d, withheld %d, none %d | seen where meant %d %v | leaks %d | "+
		"naive leaks %d, naive reader's %d, with shared token files %d | not counted: %d %s, %d %s, %d %s | %d foreign directories, %d of them with links, %d configs refused",
		tr.seed, ours.pulls, ours.done, ours.requests, ours.offered, ours.withheld, ours.none, ours.verdicts[meant], ours.kinds,
		ours.verdicts[leaked], control.verdicts[leaked], tr.reader.verdicts[leaked], tr.shared.verdicts[leaked],
		ours.verdicts[realm], realm, ours.verdicts[sameName], sameName, ours.verdicts[asked], asked, ours.foreign, ours.linked, ours.refused)
	t.Logf("with headers alone: %d pulls (%d complete), seen where meant %d %v, at an allowed token server %d | leaks %d, without probes %d | "+
		"not counted: %d %s, %d %s", headers.pulls, headers.done, headers.verdicts[meant], headers.kinds, headers.verdicts[realm],
		headers.verdicts[leaked], tr.unprobed.verdicts[leaked], headers.verdicts[sameName], sameName, headers.verdicts[asked], asked)
	leaks := append(ours.leaks, headers.leaks...)
	for i, l := range leaks {
		if i == 10 {
			t.Logf("and %d more", len(leaks)-i)
			break
		}
		t.Error(l)
	}
	if control.verdicts[leaked] == 0 {
		t.Error("the naive provider was not caught: this trial sees nothing")
	}
	if tr.reader.verdicts[leaked] == 0 {
		t.Error("the reader that follows links here was not caught: this trial does not see them")
	}
	if tr.shared.verdicts[leaked] == 0 {
		t.Error("token files that do not tell identities apart were not caught: this trial does not see them")
	}
	if tr.unprobed.verdicts[leaked] == 0 {
		t.Error("headers for token servers that apply has not asked for were not caught: this trial does not see them")
	}
	for what, n := range map[string]int{
		"complete pull": ours.done, "offered credential": ours.offered, "withheld credential": ours.withheld,
		"login where it is meant": ours.kinds["login"], "ECR token where it is meant": ours.kinds["ecr"],
		"ECR token of a registry's own identity where it is meant": ours.kinds[ownIdentity],
		"login of a header at an allowed token server":             headers.verdicts[realm],
		"foreign directory": ours.foreign, "directory with a link": ours.linked, "refused config": ours.refused,
	} {
		if n == 0 {
			t.Errorf("there was no %s: this trial does not try enough", what)
		}
	}
}
