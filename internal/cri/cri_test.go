package cri

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-registry/berth/test/fakes/fakecri"
)

func TestAsk(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "runtime.sock")
	ask := func() error {
		client, err := Dial(socket)
		if err != nil {
			return err
		}
		defer client.Close()
		_, err = Ask(t.Context(), client.Runtime.Status, &runtime.StatusRequest{})
		return err
	}
	if err := Error(ask()); err == nil || !strings.HasPrefix(err.Error(), "dial unix "+socket) || !strings.HasSuffix(err.Error(), "no such file or directory") {
		t.Errorf("%v", err)
	}
	stop, err := fakecri.Example().Serve(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := ask(); err != nil {
		t.Error(err)
	}
}

func TestError(t *testing.T) {
	fault := errors.New("fault")
	if err := Error(fault); err != fault {
		t.Errorf("%v", err)
	}
	if err := Error(status.Error(codes.Unimplemented, "unknown service")); err != ErrNoCRI {
		t.Errorf("%v", err)
	}
	if err := Error(status.Error(codes.Unavailable, "connect: permission denied")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
	for want, err := range map[string]error{
		"no answer within 10s": status.Error(codes.DeadlineExceeded, "context deadline exceeded"),
		"broken store":         status.Error(codes.Internal, "broken\nstore"),
	} {
		if got := Error(err).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
