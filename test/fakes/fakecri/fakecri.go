// Package fakecri is a container runtime that answers the CRI on a socket, as containerd does. It
// returns the values that a test sets, and runs nothing.
package fakecri

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Runtime holds the answers.
type Runtime struct {
	Images     []*cri.Image
	Containers []*cri.Container
	Sandboxes  []*cri.PodSandbox
	// SandboxInfo is the verbose part of the status of a sandbox, by its id. A sandbox without one
	// is reported as not found.
	SandboxInfo map[string]map[string]string
	// Info is the verbose part of the runtime's status.
	Info map[string]string
	// Err is the answer to every request, if it is set.
	Err error
	// Hang makes every request wait until its caller gives up.
	Hang bool
}

// Serve answers at a socket until stop is called; stop waits until the server has ended.
func (r *Runtime) Serve(socket string) (stop func(), err error) {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(r.intercept))
	cri.RegisterRuntimeServiceServer(server, runtimeService{r: r})
	cri.RegisterImageServiceServer(server, imageService{r: r})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // it ends with stop
	}()
	return func() {
		server.Stop()
		<-done
	}, nil
}

func (r *Runtime) intercept(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if r.Hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if r.Err != nil {
		return nil, r.Err
	}
	return handle(ctx, request)
}

type runtimeService struct {
	cri.UnimplementedRuntimeServiceServer
	r *Runtime
}

func (s runtimeService) ListContainers(context.Context, *cri.ListContainersRequest) (*cri.ListContainersResponse, error) {
	return &cri.ListContainersResponse{Containers: s.r.Containers}, nil
}

func (s runtimeService) ListPodSandbox(context.Context, *cri.ListPodSandboxRequest) (*cri.ListPodSandboxResponse, error) {
	return &cri.ListPodSandboxResponse{Items: s.r.Sandboxes}, nil
}

func (s runtimeService) PodSandboxStatus(_ context.Context, q *cri.PodSandboxStatusRequest) (*cri.PodSandboxStatusResponse, error) {
	info, ok := s.r.SandboxInfo[q.PodSandboxId]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "no sandbox %s", q.PodSandboxId)
	}
	if !q.Verbose {
		info = nil
	}
	return &cri.PodSandboxStatusResponse{Status: &cri.PodSandboxStatus{Id: q.PodSandboxId}, Info: info}, nil
}

func (s runtimeService) Status(_ context.Context, q *cri.StatusRequest) (*cri.StatusResponse, error) {
	answer := &cri.StatusResponse{Status: &cri.RuntimeStatus{}}
	if q.Verbose {
		answer.Info = s.r.Info
	}
	return answer, nil
}

type imageService struct {
	cri.UnimplementedImageServiceServer
	r *Runtime
}

func (s imageService) ListImages(context.Context, *cri.ListImagesRequest) (*cri.ListImagesResponse, error) {
	return &cri.ListImagesResponse{Images: s.r.Images}, nil
}
