package agent

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
	"github.com/berth-registry/berth/test/nodetest"
)

// ecrNode is a node whose mirror is an ECR registry by configuration.
func ecrNode(t *testing.T, life time.Duration) (*node, *fakeaws.Server) {
	t.Helper()
	aws, err := fakeaws.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := aws.Close(); err != nil {
			t.Error(err)
		}
	})
	aws.SetTokenLife(life)
	aws.SetRole("node", fakeaws.Key{ID: "ASIAROLE", Secret: "of the role", Session: "session"})
	n := newNode(t)
	for _, e := range aws.Env() {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	n.write("etc/config.yaml", nodetest.Head+`mirrors:
- upstream: quay.io
  endpoints: [{url: "https://images.corp/quay"}]
ecr:
  registries: [{host: images.corp, account: "111122223333", region: eu-west-1}]
health: {mode: "off"}
`)
	return n, aws
}

// authorization returns the header line of quay.io's hosts.toml.
func (n *node) authorization() string {
	for line := range strings.Lines(n.hosts("quay.io")) {
		if strings.Contains(line, "Authorization") {
			return line
		}
	}
	return ""
}

func TestTokensAreRenewed(t *testing.T) {
	n, aws := ecrNode(t, 3*time.Second)
	n.o.random = func() float64 { return 0 } // shortest pause after a failure
	n.start()
	seen := map[string]bool{}
	n.eventually("four tokens", func() bool {
		if line := n.authorization(); line != "" {
			seen[line] = true
		}
		return len(seen) >= 4
	})
	// Each call brought a token. Those that this test was too slow to see count,
	// and one may be under way.
	calls := aws.Count(fakeaws.ECR, "")
	if renewals := n.agent.Snapshot().Tokens[0].Renewals; uint64(calls) > renewals+1 {
		t.Errorf("%d calls for %d tokens", calls, renewals)
	}

	// AWS refuses: the header is removed, and log and status say so.
	aws.Inject(fakeaws.Fault{Point: fakeaws.ECR, Status: http.StatusBadRequest, Code: "AccessDeniedException", Message: "not allowed"})
	n.eventually("the header is gone", func() bool { return n.hosts("quay.io") != "" && n.authorization() == "" })
	n.eventually("it is reported", func() bool {
		for _, a := range status.Alarms(n.agent.Snapshot()) {
			if a.Name == "TokenMissing" && strings.Contains(a.Message, "access denied") {
				return true
			}
		}
		return false
	})
	aws.Heal()
	// The refusal is remembered for ten seconds with the tokens. TestFullDiskStateDir
	// waits for that.
	n.eventually("the refusal is forgotten", func() bool { return os.RemoveAll(filepath.Join(n.root, credprovider.TokenDir)) == nil })
	n.eventually("the header is back", func() bool { return n.authorization() != "" })
}

// A slow metadata service at boot: files are written after a short wait, and the header is
// added when there is a token.
func TestSlowMetadataService(t *testing.T) {
	n, aws := ecrNode(t, time.Hour)
	n.o.firstAnswers = 500 * time.Millisecond
	// Each is far below the second after which the metadata service counts as missing.
	for _, point := range []fakeaws.Point{fakeaws.MetadataToken, fakeaws.MetadataRole, fakeaws.MetadataCredentials, fakeaws.ECR} {
		aws.SetLatency(point, 300*time.Millisecond)
	}
	n.start()
	n.eventually("the mirror", func() bool { return n.hosts("quay.io") != "" })
	n.eventually("the header", func() bool { return n.authorization() != "" })
}

// A valid header is not removed while the agent starts.
func TestHeaderStaysOverARestart(t *testing.T) {
	n, _ := ecrNode(t, time.Hour)
	n.o.firstAnswers = time.Minute // a machine may be slow
	n.start()
	n.eventually("the header", func() bool { return n.authorization() != "" })
	n.end()
	before := n.authorization()
	// The token files are removed; AWS answers after a moment.
	if err := os.RemoveAll(filepath.Join(n.root, "run")); err != nil {
		t.Fatal(err)
	}
	n.start()
	for end := time.Now().Add(time.Minute); n.authorization() == before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the header is the old one after a minute")
		}
	}
	if n.authorization() == "" {
		t.Error("there was a moment without a header")
	}
}
