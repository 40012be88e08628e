// Command inside runs on the machine of the test: as the registry that is the mirror, and as
// kubelet's requests to containerd.
//
//	inside registry FILE    serves on 127.0.0.1:5000 and records in FILE the
//	                        requests for another registry
//	inside pull IMAGE       waits for the CRI, then pulls an image through it
//	inside install STEP     does what berth install --docker does, and kills itself
//	                        before a step
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := errors.New("usage: inside registry FILE | pull IMAGE | install STEP")
	if len(os.Args) == 3 {
		switch os.Args[1] {
		case "registry":
			err = serve(ctx, os.Args[2])
		case "pull":
			err = pull(ctx, os.Args[2])
		case "install":
			err = installUntil(ctx, os.Args[2])
		}
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "inside:", err)
		os.Exit(1)
	}
}

// socket is the socket of both versions of containerd.
const socket = "unix:///run/containerd/containerd.sock"

func pull(ctx context.Context, image string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	conn, err := grpc.NewClient(socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := ready(ctx, conn); err != nil {
		return fmt.Errorf("the CRI is not ready: %w", err)
	}
	answer, err := cri.NewImageServiceClient(conn).PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: image}})
	if err != nil {
		return err
	}
	fmt.Println(answer.GetImageRef())
	return nil
}

// ready waits until the CRI is ready, as kubelet does.
func ready(ctx context.Context, conn *grpc.ClientConn) error {
	for {
		answer, err := cri.NewRuntimeServiceClient(conn).Status(ctx, &cri.StatusRequest{})
		if status.Code(err) == codes.Unimplemented {
			return err // containerd without its CRI plugin
		}
		for _, c := range answer.GetStatus().GetConditions() {
			if c.GetType() == cri.RuntimeReady && c.GetStatus() {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(50 * time.Millisecond):
			conn.ResetConnectBackoff()
		}
	}
}
