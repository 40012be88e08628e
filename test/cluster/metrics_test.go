package cluster

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
)

// metrics checks that the agent in the pod sees the mirror as alive, which it can only if it trusts
// the same authorities as the node, and that promtool accepts its metrics.
func (w *fixture) metrics(values map[string]any) {
	w.Helper()
	up := fmt.Sprintf("berth_mirror_up{endpoint=%q,upstream=\"docker.io\"} 1\n", w.first.URL())
	var body string
	w.until("the agent sees the mirror", func() error {
		var err error
		if body, err = fetch("http://" + w.agentAddress(values) + "/metrics"); err == nil && !strings.Contains(body, up) {
			err = fmt.Errorf("no %q in\n%s", up, body)
		}
		return err
	})
	cmd := exec.CommandContext(w.Context(), "promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		w.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

func fetch(url string) (string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}
