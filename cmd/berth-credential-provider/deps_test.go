package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestLinksLittle: kubelet runs the program for every image, and each linked package is initialised
// each time. With network code an answer from a file would take longer: see docs/benchmarks.md.
// docker-credential-berth works in the same way.
func TestLinksLittle(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".", "../docker-credential-berth").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 50 {
		t.Fatalf("only %d packages are listed", len(deps))
	}
	for _, dep := range deps {
		for _, heavy := range []string{
			"github.com/berth-registry/berth/agent", "github.com/berth-registry/berth/hostsconf", "github.com/berth-registry/berth/images",
			"github.com/aws", "net/http", "crypto/tls", "os/exec", "github.com/spf13", "github.com/containerd", "k8s.io", "go.yaml.in",
		} {
			if dep == heavy || strings.HasPrefix(dep, heavy+"/") {
				t.Errorf("%s is linked", dep)
			}
		}
	}
}
