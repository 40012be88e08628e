// Package cri asks a container runtime on this machine over the CRI. It changes nothing there.
// Start reading at [Dial] and [Ask].
package cri

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Where container runtimes listen by default. K3s is also the socket of RKE2.
const (
	Containerd = "/run/containerd/containerd.sock"
	K3s        = "/run/k3s/containerd/containerd.sock"
	K0s        = "/run/k0s/containerd.sock"
	MicroK8s   = "/var/snap/microk8s/common/run/containerd.sock"
	CRIO       = "/run/crio/crio.sock"
	Dockerd    = "/run/cri-dockerd.sock"
)

// ErrNoCRI means that containerd runs without its CRI plugin.
var ErrNoCRI = errors.New("containerd answers, but its CRI plugin did not load")

// timeout limits one request.
const timeout = 10 * time.Second

// maxMessage is the largest answer in bytes, as in kubelet.
const maxMessage = 16 << 20

// Client is a connection to a runtime.
type Client struct {
	Runtime runtime.RuntimeServiceClient
	Images  runtime.ImageServiceClient
	*grpc.ClientConn
}

// Dial connects to the runtime at a socket, an absolute path. It does not wait for the connection.
func Dial(socket string) (*Client, error) {
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, err
	}
	return &Client{runtime.NewRuntimeServiceClient(conn), runtime.NewImageServiceClient(conn), conn}, nil
}

// Ask makes one request, a method of [Client]'s Runtime or Images. Its error is one of gRPC; see
// [Error].
func Ask[Request, Answer any](ctx context.Context, call func(context.Context, Request, ...grpc.CallOption) (Answer, error), r Request) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return call(ctx, r)
}

// Error is the message of a gRPC error on one line; it says if root is needed. If the daemon has no
// CRI, it is [ErrNoCRI]. Other errors are returned as they are.
func Error(err error) error {
	s, ok := status.FromError(err)
	switch {
	case !ok:
		return err
	case s.Code() == codes.Unimplemented:
		return ErrNoCRI
	case strings.Contains(s.Message(), "permission denied"):
		return fmt.Errorf("%w: only root may ask the runtime", fs.ErrPermission)
	case s.Code() == codes.DeadlineExceeded:
		return fmt.Errorf("no answer within %s", timeout)
	}
	message := strings.ReplaceAll(s.Message(), "\n", " ")
	if _, cause, ok := strings.Cut(message, "Error while dialing: "); ok {
		message = strings.TrimSuffix(cause, `"`) // gRPC quotes it
	}
	return errors.New(message)
}
