package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/containerd/containerd/api/services/content/v1"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/internal/cri"
)

// chunk is how much content is sent at once; containerd accepts up to 16 MiB.
const chunk = 1 << 20

// put writes a blob of the source to containerd's content store.
func (c *Containerd) put(ctx context.Context, source Source, d v1.Descriptor, labels map[string]string) error {
	return c.ensure(ctx, d, labels, func() (io.ReadSeekCloser, error) { return source.OpenBlob(d.Digest) })
}

// putManifest writes a manifest or an index.
func (c *Containerd) putManifest(ctx context.Context, m manifest.Manifest, labels map[string]string) error {
	return c.ensure(ctx, m.Desc, labels, func() (io.ReadSeekCloser, error) {
		return struct {
			io.ReadSeeker
			io.Closer
		}{bytes.NewReader(m.Raw), io.NopCloser(nil)}, nil
	})
}

// ensure writes content unless it is there, and sets its labels.
func (c *Containerd) ensure(ctx context.Context, d v1.Descriptor, labels map[string]string, open func() (io.ReadSeekCloser, error)) error {
	_, err := c.content.Info(ctx, &content.InfoRequest{Digest: d.Digest.String()})
	switch status.Code(err) {
	case codes.OK:
	case codes.NotFound:
		body, err := open()
		if err != nil {
			return err
		}
		defer body.Close()
		if err := c.write(ctx, d, labels, body); status.Code(err) != codes.AlreadyExists {
			return c.writeError(d, err)
		}
	default:
		return cri.Error(err)
	}
	paths := []string{}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		paths = append(paths, "labels."+name)
	}
	_, err = c.content.Update(ctx, &content.UpdateRequest{
		Info:       &content.Info{Digest: d.Digest.String(), Labels: labels},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: paths},
	})
	if err != nil {
		return cri.Error(err)
	}
	return nil
}

func (c *Containerd) writeError(d v1.Descriptor, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); !ok {
		return fmt.Errorf("blob %s: %w", manifest.Short(d.Digest), err)
	}
	if status.Code(err) == codes.FailedPrecondition { // size or digest
		return fmt.Errorf("blob %s: %w", manifest.Short(d.Digest), manifest.ErrContent)
	}
	return fmt.Errorf("blob %s: %w", manifest.Short(d.Digest), cri.Error(err))
}

// write sends content. containerd keeps what a killed run has sent, and goes on behind it; it
// verifies size and digest at the end.
func (c *Containerd) write(ctx context.Context, d v1.Descriptor, labels map[string]string, body io.ReadSeeker) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.content.Write(ctx)
	if err != nil {
		return err
	}
	ask := func(r *content.WriteContentRequest) (*content.WriteContentResponse, error) {
		r.Ref, r.Total, r.Expected = "berth-images-load-"+d.Digest.String(), d.Size, d.Digest.String()
		if err := stream.Send(r); err != nil && !errors.Is(err, io.EOF) { // EOF: the answer has the error
			return nil, err
		}
		return stream.Recv()
	}
	state, err := ask(&content.WriteContentRequest{Action: content.WriteAction_STAT})
	if err != nil {
		return err
	}
	at := state.GetOffset()
	if at > d.Size {
		at = 0 // of another content with this name; containerd truncates it
	}
	if _, err := body.Seek(at, io.SeekStart); err != nil {
		return err
	}
	buf := make([]byte, chunk)
	for at < d.Size {
		n, err := io.ReadFull(body, buf[:min(chunk, d.Size-at)])
		if err != nil {
			return manifest.ErrContent // shorter than it should be
		}
		if _, err := ask(&content.WriteContentRequest{Action: content.WriteAction_WRITE, Offset: at, Data: buf[:n]}); err != nil {
			return err
		}
		at += int64(n)
	}
	_, err = ask(&content.WriteContentRequest{Action: content.WriteAction_COMMIT, Offset: at, Labels: labels})
	return err
}
