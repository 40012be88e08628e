package images

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"golang.org/x/crypto/bcrypt"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/test/pki"
)

// TestServeExamples starts each example of the help, at a free port, and pulls from it.
func TestServeExamples(t *testing.T) {
	t.Chdir(t.TempDir())
	const image = "docker.io/redislabs/redis:7.2.4-64"
	stick, err := layout.Write("usb-stick", empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	content, err := random.Image(2000, 2)
	if err == nil {
		err = stick.AppendImage(content, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": image}))
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "berth", "images", "copy", "--root", ".", "--from", "usb-stick", "--to", "images.tar.zst").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ca, err := pki.New("stick")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := pair.Write(".", "tls"); err != nil {
		t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("hunter2"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("users", []byte("node:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}}
	defer client.CloseIdleConnections()

	ran := 0
	for line := range strings.Lines(newServe(&cli.Options{}).Example) {
		words := strings.Fields(strings.ReplaceAll(line, ":5000", "127.0.0.1:0"))
		if !strings.Contains(line, "--listen") {
			words = append(words, "--listen", "127.0.0.1:0")
		}
		address, stop := startServing(t, words)
		ask := func(user string) int {
			r, err := http.NewRequestWithContext(t.Context(), "HEAD", address+"/v2/redislabs/redis/manifests/7.2.4-64?ns=docker.io", nil)
			if err != nil {
				t.Fatal(err)
			}
			if user != "" {
				r.SetBasicAuth(user, "hunter2")
			}
			answer, err := client.Do(r)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			answer.Body.Close()
			return answer.StatusCode
		}
		anonymous := http.StatusOK
		if strings.Contains(line, "--htpasswd") {
			anonymous = http.StatusUnauthorized
		}
		if got := ask(""); got != anonymous {
			t.Errorf("%s: %d without a login, want %d", line, got, anonymous)
		}
		if got := ask("node"); got != http.StatusOK {
			t.Errorf("%s: %d with a login", line, got)
		}
		stop()
		ran++
	}
	if ran != 3 {
		t.Errorf("%d examples", ran)
	}
}

// startServing runs berth images serve and returns its address from the log. stop interrupts it.
func startServing(t *testing.T, words []string) (address string, stop func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, text := bufio.NewScanner(stderr), ""
	for address == "" && lines.Scan() {
		text += lines.Text() + "\n"
		var entry struct{ Address string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil {
			address = entry.Address
		}
	}
	if address == "" {
		t.Fatalf("%q: %v\n%s", words, cmd.Wait(), text)
	}
	return address, func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		for lines.Scan() {
			text += lines.Text() + "\n"
		}
		if err := cmd.Wait(); err != nil || strings.Contains(text, "hunter2") {
			t.Errorf("%q: %v\n%s", words, err, text)
		}
	}
}
