package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/command"
	"github.com/berth-registry/berth/credprovider/ecr"
	"github.com/berth-registry/berth/internal/redact"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
	"github.com/berth-registry/berth/test/gobuild"
)

// binary builds both programs, so that the processes are as small as on a node, and returns the
// path of the one that kubelet executes.
func binary(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := gobuild.Programs(t.Context(), ".", dir+"/", ".", "../berth-ecr-token"); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, command.Name)
}

// processes is how many processes start at once. The one that asks AWS runs beside the others: it has
// 20 s, and a call that takes 5 s is repeated. With 1,000 on a busy machine such a call is seen, so
// they are for make soak; with the tag e2e there are 400, without it 200.
var processes = flag.Int("processes", defaultProcesses, "how many processes start at once")

type answer struct {
	out, err string
	failed   bool
	took     time.Duration
}

// stampede starts n processes at once, each for another image.
func stampede(t *testing.T, program string, fake *fakeaws.Server, dir string, n int) []answer {
	t.Helper()
	answers := make([]answer, n)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = execute(program, fake, dir, i) })
	}
	wg.Wait()
	return answers
}

func execute(program string, fake *fakeaws.Server, dir string, image int) answer {
	return executeFor(program, fake, dir, imageName(image))
}

func imageName(image int) string {
	return fmt.Sprintf("111122223333.dkr.ecr.us-east-1.amazonaws.com/app-%d", image)
}

func executeFor(program string, fake *fakeaws.Server, dir, image string) answer {
	begin := time.Now()
	var out, errOut bytes.Buffer
	cmd := process(program, fake, dir, image)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	return answer{out.String(), errOut.String(), err != nil, time.Since(begin)}
}

func process(program string, fake *fakeaws.Server, dir, image string) *exec.Cmd {
	cmd := exec.Command(program, "--root", dir, "--rules", filepath.Join(dir, "none.json"), "--run-dir", filepath.Join(dir, "tokens"))
	cmd.Env = append([]string{"HOME=" + dir}, fakeEnv(fake)...)
	cmd.Stdin = strings.NewReader(fmt.Sprintf(
		`{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":%q}`, image))
	return cmd
}

func fakeFor(t *testing.T) *fakeaws.Server {
	t.Helper()
	fake, err := startFake()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fake.Close() })
	fake.SetLatency(fakeaws.ECR, 30*time.Millisecond)
	fake.SetLatency(fakeaws.MetadataToken, 2*time.Millisecond)
	return fake
}

// TestStampede: a starting node pulls many images of one registry, and kubelet runs a process for
// each.
func TestStampede(t *testing.T) {
	program, fake := binary(t), fakeFor(t)
	begin := time.Now()
	answers := stampede(t, program, fake, t.TempDir(), *processes)
	for i, a := range answers {
		if a.failed || !strings.Contains(a.out, `"username":"AWS"`) {
			t.Fatalf("process %d: %s%s", i, a.out, a.err)
		}
	}
	if n := fake.Count(fakeaws.ECR, ""); n != 1 {
		t.Errorf("%d calls of ECR, want 1", n)
	}
	t.Logf("%d processes, cold: %d call of ECR, %s in all", *processes, fake.Count(fakeaws.ECR, ""), time.Since(begin))
}

// TestStampedeOfTwoIdentities: two registries of one region, the second with an identity of its own.
func TestStampedeOfTwoIdentities(t *testing.T) {
	program, fake, dir := binary(t), fakeFor(t), t.TempDir()
	const own = "444455556666.dkr.ecr.us-east-1.amazonaws.com"
	// Neither asks the metadata service, which a busy machine can take for missing.
	shared := &ecr.StaticKeys{AccessKeyID: redact.New(profileKey.ID), SecretAccessKey: redact.New(profileKey.Secret), SessionToken: redact.New(profileKey.Session)}
	rules, err := credprovider.Rules{
		ECRSources: []ecr.Source{{Static: shared}},
		ECRNames:   ecr.Names{{Host: own, Account: "444455556666", Region: "us-east-1", Chain: own}},
		ECRChains:  map[string][]ecr.Source{own: {{SDK: &ecr.SDK{}}}},
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "none.json"), rules, 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	answers := make([]answer, *processes)
	for i := range answers {
		wg.Go(func() {
			registry := "111122223333"
			if i%2 == 1 {
				registry = "444455556666"
			}
			answers[i] = executeFor(program, fake, dir, fmt.Sprintf("%s.dkr.ecr.us-east-1.amazonaws.com/app-%d", registry, i))
		})
	}
	wg.Wait()
	tokens := map[string]bool{}
	for i, a := range answers {
		if a.failed {
			t.Fatalf("process %d: %s", i, a.err)
		}
		_, password, _ := strings.Cut(a.out, `"password":"`)
		tokens[password[:strings.IndexByte(password, '"')]] = true
	}
	if profile, static := fake.Count(fakeaws.ECR, profileKey.ID), fake.Count(fakeaws.ECR, staticKey.ID); profile != 1 || static != 1 || len(tokens) != 2 {
		t.Errorf("%d calls of ECR by the profile and %d by the keys, want one each; %d tokens", profile, static, len(tokens))
	}
}

// TestStampedeWhileECRFails: the processes share a failure as they share a token.
func TestStampedeWhileECRFails(t *testing.T) {
	program := binary(t)
	for name, faults := range failures() {
		t.Run(name, func(t *testing.T) {
			fake := fakeFor(t)
			for _, f := range faults {
				fake.Inject(f)
			}
			begin := time.Now()
			for i, a := range stampede(t, program, fake, t.TempDir(), *processes) {
				if !a.failed || a.out != "" || strings.Count(a.err, "\n") != 1 || strings.Contains(a.err, "canary") {
					t.Fatalf("process %d: %s%s", i, a.out, a.err)
				}
				if a.took > 30*time.Second {
					t.Errorf("process %d took %s", i, a.took)
				}
			}
			if n := fake.Count(fakeaws.ECR, ""); n == 0 || n > 3 {
				t.Errorf("%d calls of ECR, want at most 3", n)
			}
			t.Logf("%d processes, ECR fails: %d calls, %s in all", *processes, fake.Count(fakeaws.ECR, ""), time.Since(begin))
		})
	}
}

// TestKilledHolder: kubelet kills a process that takes too long; the others may be waiting for it.
func TestKilledHolder(t *testing.T) {
	program, fake, dir := binary(t), fakeFor(t), t.TempDir()
	fake.Inject(fakeaws.Fault{Point: fakeaws.ECR, Hang: true, Times: 1})
	holder := process(program, fake, dir, imageName(0))
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for fake.Count(fakeaws.ECR, "") == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the holder never asked")
		}
		time.Sleep(5 * time.Millisecond)
	}
	done := make(chan answer, 5)
	for i := range cap(done) {
		go func() { done <- execute(program, fake, dir, 1+i) }()
	}
	time.Sleep(300 * time.Millisecond)
	if len(done) > 0 {
		t.Fatalf("the lock is not respected: %+v", <-done)
	}
	killed := time.Now()
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait() // "signal: killed"
	for range cap(done) {
		if a := <-done; a.failed {
			t.Errorf("%s", a.err)
		}
	}
	// If the lock were not released, they would wait for their own limit of 25 s.
	if delay := time.Since(killed); delay > 15*time.Second {
		t.Errorf("a killed holder delays the others by %s", delay)
	}
}
