package agent

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/agent/status"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/test/nodetest"
)

// TestCredentialHelper follows a login from its helper to the header. While the helper fails, the
// login stays, over a restart too; when it expires, it goes, from the disk too. Nothing of a helper's
// output is in the log, the status or the metrics.
func TestCredentialHelper(t *testing.T) {
	const canary = "helper-canary"
	part := func(claims string) string { return base64.RawURLEncoding.EncodeToString([]byte(claims)) }
	secret := part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"exp":%d}`, time.Now().Add(15*time.Second).Unix())) + "." + canary
	n := newNode(t)
	program := filepath.Join(n.dir, "docker-credential-test")
	helper := func(script string) {
		t.Helper()
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	header := "Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+secret))
	has := func() bool { return strings.Contains(n.hosts("registry.corp"), header) }

	helper(`read host; printf '{"ServerURL":"%s","Username":"u","Secret":"` + secret + `"}' "$host"`)
	n.write("etc/config.yaml", nodetest.Head+
		"registries: [{host: registry.corp, auth: basic, credentialHelper: "+program+"}]\nhealth: {mode: \"off\"}\n")
	n.start()
	n.eventually("the header of the helper", has)
	n.converged()
	n.end()

	helper("echo " + canary + "; echo " + canary + " >&2; exit 7")
	n.start()
	n.converged()
	if !has() {
		t.Errorf("the last good login does not outlive a restart:\n%s", n.hosts("registry.corp"))
	}
	n.eventually("no header after the expiry", func() bool { return !has() })
	alarm := ""
	n.eventually("an alarm", func() bool {
		for _, a := range status.Alarms(n.agent.Snapshot()) {
			if a.Name == "TokenMissing" {
				alarm = a.Subject + ": " + a.Message
			}
		}
		return alarm != ""
	})
	if !strings.Contains(alarm, "registry.corp") || !strings.Contains(alarm, "exit code 7") {
		t.Errorf("the alarm says %q", alarm)
	}
	n.eventually("the secret has left the disk", func() bool {
		b, err := os.ReadFile(filepath.Join(n.root, "var/lib/berth", credprovider.HelperLoginsFile))
		return os.IsNotExist(err) || err == nil && !strings.Contains(string(b), canary)
	})
	shown := n.log.String()
	for _, path := range []string{"/status", "/metrics", "/"} {
		answer, err := http.Get(n.page() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		shown += string(body)
	}
	if strings.Contains(shown, canary) {
		t.Errorf("the output of a helper is shown:\n%s", shown)
	}
}
