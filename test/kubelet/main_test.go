package kubelet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-registry/berth/test/gobuild"
)

// TestMain provides our two commands: those that the environment names, or new ones of this
// checkout.
func TestMain(m *testing.M) {
	status, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}

func run(m *testing.M) (status int, err error) {
	dir, err := os.MkdirTemp("", "berth-kubelet-bin-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	built := false
	for variable, command := range commands() {
		path := os.Getenv(variable)
		if path == "" {
			if path = filepath.Join(dir, command); !built {
				// With the program that the provider starts, which must be beside it.
				if err := gobuild.Programs(context.Background(), filepath.Join("..", ".."), dir+"/", "./cmd/..."); err != nil {
					return 1, err
				}
				built = true
			}
		}
		if path, err = filepath.Abs(path); err != nil {
			return 1, err
		}
		if err := os.Setenv(variable, path); err != nil {
			return 1, err
		}
	}
	// No test may reach a real metadata service.
	if err := os.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1"); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// commands maps environment variables to our commands.
func commands() map[string]string {
	return map[string]string{"BERTH_BIN": "berth", "BERTH_PROVIDER_BIN": "berth-credential-provider"}
}

func berthBinary() string    { return os.Getenv("BERTH_BIN") }
func providerBinary() string { return os.Getenv("BERTH_PROVIDER_BIN") }
