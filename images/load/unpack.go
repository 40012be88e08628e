package load

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/api/services/diff/v1"
	"github.com/containerd/containerd/api/services/snapshots/v1"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/berth-registry/berth/images/manifest"
	"github.com/berth-registry/berth/internal/cri"
)

// chains returns the name of the snapshot for each layer with those below it.
// https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid
func (i Image) chains() []string {
	all := make([]string, len(i.DiffIDs))
	for n, id := range i.DiffIDs {
		all[n] = id
		if n > 0 {
			all[n] = digest.FromString(all[n-1] + " " + id).String()
		}
	}
	return all
}

// chain is the name of the snapshot with all layers, "" for an image without layers.
func (i Image) chain() string {
	all := i.chains()
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// unpack makes a snapshot for each layer that has none. containerd computes the digest of what it
// unpacks, and a layer that differs from the config is not committed.
func (c *Containerd) unpack(ctx context.Context, image Image) error {
	parent := ""
	for i, name := range image.chains() {
		if err := c.unpackLayer(ctx, image, i, name, parent); err != nil {
			return fmt.Errorf("layer %s: %w", manifest.Short(image.Layers[i].Digest), err)
		}
		parent = name
	}
	return nil
}

func (c *Containerd) unpackLayer(ctx context.Context, image Image, i int, name, parent string) (err error) {
	_, err = c.snapshots.Stat(ctx, &snapshots.StatSnapshotRequest{Snapshotter: c.Snapshotter, Key: name})
	if status.Code(err) != codes.NotFound {
		return c.explain(err)
	}
	key := "extract-" + rand.Text() + " " + name
	prepared, err := c.snapshots.Prepare(ctx, &snapshots.PrepareSnapshotRequest{
		Snapshotter: c.Snapshotter, Key: key, Parent: parent, Labels: map[string]string{labelSnapshotRef: name},
	})
	if err != nil {
		return c.explain(err)
	}
	defer func() {
		if err != nil {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			_, _ = c.snapshots.Remove(end, &snapshots.RemoveSnapshotRequest{Snapshotter: c.Snapshotter, Key: key})
		}
	}()
	layer := image.Layers[i]
	applied, err := c.diff.Apply(ctx, &diff.ApplyRequest{Diff: descriptor(layer), Mounts: prepared.GetMounts()})
	if err != nil {
		return cri.Error(err)
	}
	if applied.GetApplied().GetDigest() != image.DiffIDs[i] {
		return errors.New("unpacks to something else than the config of the image says")
	}
	_, err = c.snapshots.Commit(ctx, &snapshots.CommitSnapshotRequest{
		Snapshotter: c.Snapshotter, Name: name, Key: key, Labels: map[string]string{labelSnapshotRef: name},
	})
	if err != nil && status.Code(err) != codes.AlreadyExists { // another program has unpacked it meanwhile
		return cri.Error(err)
	}
	_, err = c.content.Update(ctx, &content.UpdateRequest{
		Info:       &content.Info{Digest: layer.Digest.String(), Labels: map[string]string{labelUncompressed: image.DiffIDs[i]}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels." + labelUncompressed}},
	})
	if err != nil {
		return cri.Error(err)
	}
	return nil
}
