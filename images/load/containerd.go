package load

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/api/services/diff/v1"
	"github.com/containerd/containerd/api/services/images/v1"
	"github.com/containerd/containerd/api/services/leases/v1"
	"github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/api/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-registry/berth/internal/cri"
)

// Labels of containerd.
// https://github.com/containerd/containerd/blob/main/docs/garbage-collection.md
const (
	labelContent      = "containerd.io/gc.ref.content."
	labelSnapshot     = "containerd.io/gc.ref.snapshot."
	labelExpire       = "containerd.io/gc.expire"
	labelUncompressed = "containerd.io/uncompressed"
	labelSnapshotRef  = "containerd.io/snapshot.ref"
	// labelPinned keeps kubelet's garbage collection from an image, from containerd 1.7 on.
	labelPinned = "io.cri-containerd.pinned"
	// labelSource and the digest of the registry say where a blob may be mounted from.
	labelSource = "containerd.io/distribution.source."
)

// leaseTime is how long content of a run that was killed stays.
const leaseTime = 24 * time.Hour

// seenWithin limits how long the CRI may take to list a new image.
const seenWithin = 30 * time.Second

// pinWithin limits how long the CRI may take to read a new label of an image.
const pinWithin = 5 * time.Second

// Containerd is containerd's image store.
type Containerd struct {
	// Namespace is that of the CRI, k8s.io.
	Namespace string
	// Snapshotter is the one that the CRI uses, overlayfs by default.
	Snapshotter string
	// Pin keeps kubelet's garbage collection from the images.
	Pin bool

	socket    string
	conn      *grpc.ClientConn
	content   content.ContentClient
	diff      diff.DiffClient
	images    images.ImagesClient
	leases    leases.LeasesClient
	snapshots snapshots.SnapshotsClient
	cri       runtime.ImageServiceClient
}

// DialContainerd connects to containerd at a socket, an absolute path. It does not wait for the
// connection. Call Close at the end.
func DialContainerd(socket string) (*Containerd, error) {
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &Containerd{
		Namespace: "k8s.io", Snapshotter: "overlayfs", socket: socket, conn: conn,
		content: content.NewContentClient(conn), diff: diff.NewDiffClient(conn), images: images.NewImagesClient(conn),
		leases: leases.NewLeasesClient(conn), snapshots: snapshots.NewSnapshotsClient(conn),
		cri: runtime.NewImageServiceClient(conn),
	}, nil
}

// Close closes the connection.
func (c *Containerd) Close() error { return c.conn.Close() }

// Ping returns an error if containerd does not answer.
func (c *Containerd) Ping(ctx context.Context) error {
	_, err := c.images.List(c.namespaced(ctx), &images.ListImagesRequest{Filters: []string{"name==none"}})
	if err != nil {
		return fmt.Errorf("containerd at %s: %w", c.socket, cri.Error(err))
	}
	return nil
}

// Notice says if the images were to be pinned, and containerd's CRI, which kubelet asks, does not know
// that they are. It returns "" if it does, and without a CRI.
func (c *Containerd) Notice(ctx context.Context, results []Result) string {
	name := anyByDigest(results)
	if !c.Pin || name == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, pinWithin)
	defer cancel()
	for {
		got, err := c.cri.ImageStatus(ctx, &runtime.ImageStatusRequest{Image: &runtime.ImageSpec{Image: name}})
		if status.Code(err) == codes.Unimplemented || got.GetImage().GetPinned() {
			return ""
		}
		select {
		case <-ctx.Done():
			return "--pin: this containerd does not know pinned images, kubelet's garbage collection may remove them; upgrade to containerd 1.7"
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *Containerd) namespaced(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "containerd-namespace", c.Namespace)
}

// Has implements [Store].
func (c *Containerd) Has(ctx context.Context, image Image, name string) (bool, error) {
	ctx = c.namespaced(ctx)
	got, err := c.images.Get(ctx, &images.GetImageRequest{Name: name})
	if status.Code(err) == codes.NotFound {
		return false, nil
	}
	if err != nil {
		return false, cri.Error(err)
	}
	if got.GetImage().GetTarget().GetDigest() != image.Top.Desc.Digest.String() || c.Pin && got.GetImage().GetLabels()[labelPinned] == "" {
		return false, nil
	}
	if image.chain() == "" {
		return true, nil
	}
	// The name may have been given by a pull of another platform, or without unpacking.
	_, err = c.snapshots.Stat(ctx, &snapshots.StatSnapshotRequest{Snapshotter: c.Snapshotter, Key: image.chain()})
	if status.Code(err) == codes.NotFound {
		return false, nil
	}
	return err == nil, c.explain(err)
}

// Put implements [Store]: content, unpacked layers, and then the names.
func (c *Containerd) Put(ctx context.Context, source Source, image Image, names []string) (err error) {
	ctx = c.namespaced(ctx)
	id := "berth-images-load-" + rand.Text()
	if _, err := c.leases.Create(ctx, &leases.CreateRequest{
		ID: id, Labels: map[string]string{labelExpire: time.Now().Add(leaseTime).UTC().Format(time.RFC3339)},
	}); err != nil {
		return cri.Error(err)
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_, leaseErr := c.leases.Delete(end, &leases.DeleteRequest{ID: id})
		if err == nil && leaseErr != nil {
			err = cri.Error(leaseErr)
		}
	}()
	ctx = metadata.AppendToOutgoingContext(ctx, "containerd-lease", id)
	if err := c.putContent(ctx, source, image); err != nil {
		return err
	}
	if err := c.unpack(ctx, image); err != nil {
		return err
	}
	for _, name := range names {
		if err := c.name(ctx, image, name); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := c.seen(ctx, image, name); err != nil {
			return err
		}
	}
	return nil
}

// seen waits until the CRI, which follows containerd's events, answers kubelet with the image. A
// containerd without the CRI has no kubelet that could ask.
func (c *Containerd) seen(ctx context.Context, image Image, name string) error {
	ctx, cancel := context.WithTimeout(ctx, seenWithin)
	defer cancel()
	fault := fmt.Errorf("containerd's CRI does not list %s after %s", name, seenWithin)
	for {
		got, err := c.cri.ImageStatus(ctx, &runtime.ImageStatusRequest{Image: &runtime.ImageSpec{Image: name}})
		switch {
		case status.Code(err) == codes.Unimplemented:
			return nil
		case ctx.Err() != nil:
			return fault
		case err != nil: // at boot the CRI answers after it has read its containers
			fault = fmt.Errorf("containerd's CRI does not answer within %s: %w", seenWithin, cri.Error(err))
		case got.GetImage().GetId() == image.Config.Digest.String():
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// putContent writes the blobs, then the manifest, then the index: each refers to the one before by
// labels, which keep it from containerd's garbage collection.
func (c *Containerd) putContent(ctx context.Context, source Source, image Image) error {
	origin := map[string]string{labelSource + image.Reference.Registry(): image.Reference.Repository()}
	children := map[string]string{labelContent + "config": image.Config.Digest.String()}
	for i, l := range image.Layers {
		if err := c.put(ctx, source, l, origin); err != nil {
			return err
		}
		children[fmt.Sprintf("%sl.%d", labelContent, i)] = l.Digest.String()
	}
	config := maps.Clone(origin)
	if top := image.chain(); top != "" {
		config[labelSnapshot+c.Snapshotter] = top
	}
	if err := c.put(ctx, source, image.Config, config); err != nil {
		return err
	}
	maps.Copy(children, origin)
	if err := c.putManifest(ctx, image.Manifest, children); err != nil || !image.Index {
		return err
	}
	top := maps.Clone(origin)
	top[labelContent+"m.0"] = image.Manifest.Desc.Digest.String()
	return c.putManifest(ctx, image.Top, top)
}

// name gives the image a name, or moves the name to it.
func (c *Containerd) name(ctx context.Context, image Image, name string) error {
	entry := &images.Image{Name: name, Target: descriptor(image.Top.Desc), Labels: map[string]string{}}
	mask := []string{"target"}
	if c.Pin {
		entry.Labels[labelPinned] = "pinned"
		mask = append(mask, "labels."+labelPinned)
	}
	_, err := c.images.Create(ctx, &images.CreateImageRequest{Image: entry})
	if status.Code(err) == codes.AlreadyExists {
		_, err = c.images.Update(ctx, &images.UpdateImageRequest{Image: entry, UpdateMask: &fieldmaskpb.FieldMask{Paths: mask}})
	}
	if err != nil {
		return cri.Error(err)
	}
	return nil
}

// explain names the remedy if the snapshotter does not exist.
func (c *Containerd) explain(err error) error {
	if err == nil {
		return nil
	}
	if code := status.Code(err); code == codes.InvalidArgument || code == codes.NotFound {
		return fmt.Errorf("snapshotter %s: %w; name the one of containerd's config.toml with --snapshotter", c.Snapshotter, cri.Error(err))
	}
	return cri.Error(err)
}

func descriptor(d v1.Descriptor) *types.Descriptor {
	return &types.Descriptor{MediaType: string(d.MediaType), Digest: d.Digest.String(), Size: d.Size}
}

// Sockets returns where containerd listens: by itself, in k3s and RKE2, k0s, MicroK8s.
func Sockets() []string { return []string{cri.Containerd, cri.K3s, cri.K0s, cri.MicroK8s} }

// FindSocket returns the first of these paths that exists, as unix:// addresses or without a scheme.
func FindSocket(paths []string) (string, error) {
	for _, path := range paths {
		path = strings.TrimPrefix(path, "unix://")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no runtime listens at %s; name its socket with --runtime-endpoint", strings.Join(paths, ", "))
}
