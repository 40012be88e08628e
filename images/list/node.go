package list

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-registry/berth/images/place"
	"github.com/berth-registry/berth/images/reference"
)

// RuntimeSockets returns where container runtimes listen for the CRI, the most common first:
// containerd itself, containerd in k3s and RKE2, k0s, MicroK8s; CRI-O; cri-dockerd.
func RuntimeSockets() []string {
	return []string{
		"/run/containerd/containerd.sock",
		"/run/k3s/containerd/containerd.sock",
		"/run/k0s/containerd.sock",
		"/var/snap/microk8s/common/run/containerd.sock",
		"/run/crio/crio.sock",
		"/run/cri-dockerd.sock",
	}
}

// criTimeout limits one request to a runtime.
const criTimeout = 10 * time.Second

// maxCRIMessage is the largest answer in bytes, as in kubelet.
const maxCRIMessage = 16 << 20

// AddNode asks a container runtime over the CRI which images its containers use: those of pods,
// also of init containers and containers that have ended, and the pause image; with unused also
// stored images that no container uses. sockets are paths or unix:// addresses; the first at which
// a runtime answers is used.
func (l *List) AddNode(ctx context.Context, sockets []string, unused bool) {
	var refused []error
	for _, socket := range sockets {
		err := l.addRuntime(ctx, socket, unused)
		switch {
		case err == nil:
			return
		case errors.Is(err, fs.ErrNotExist):
		case status.Code(err) == codes.Unimplemented:
			refused = append(refused, fmt.Errorf("%s: the runtime has no CRI plugin; check disabled_plugins in containerd's config.toml", socket))
		default:
			refused = append(refused, fmt.Errorf("%s: %w", socket, rpcError(err)))
		}
	}
	for _, err := range refused {
		l.AddProblem(err)
	}
	if len(refused) == 0 {
		l.AddProblem(fmt.Errorf("no container runtime listens at %s; name its socket, or read manifests or a list instead", strings.Join(sockets, ", ")))
	}
}

// rpcError is the message of a gRPC error on one line; it says if root is needed.
func rpcError(err error) error {
	s, ok := status.FromError(err)
	switch {
	case !ok:
		return err
	case strings.Contains(s.Message(), "permission denied"):
		return fmt.Errorf("%w: only root may ask the runtime", fs.ErrPermission)
	case s.Code() == codes.DeadlineExceeded:
		return fmt.Errorf("no answer within %s", criTimeout)
	}
	message := strings.ReplaceAll(s.Message(), "\n", " ")
	if _, cause, ok := strings.Cut(message, "Error while dialing: "); ok {
		message = strings.TrimSuffix(cause, `"`) // gRPC quotes it
	}
	return errors.New(message)
}

func (l *List) addRuntime(ctx context.Context, socket string, unused bool) error {
	path := strings.TrimPrefix(socket, "unix://")
	if _, err := os.Stat(path); err != nil {
		return err
	}
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxCRIMessage)))
	if err != nil {
		return err
	}
	defer conn.Close()
	n := &node{runtime: cri.NewRuntimeServiceClient(conn), images: cri.NewImageServiceClient(conn)}
	if err := n.read(ctx); err != nil {
		return err
	}
	n.list(l, unused)
	return nil
}

// node is the state of a runtime.
type node struct {
	runtime cri.RuntimeServiceClient
	images  cri.ImageServiceClient

	containers []*cri.Container
	sandboxes  []*cri.PodSandbox
	pause      map[string]string // image by sandbox ID
	stored     []*cri.Image
	configured string // pause image of the next pod; "" if the runtime does not say
}

// read makes all requests first, so that a runtime that fails midway adds nothing.
func (n *node) read(ctx context.Context) error {
	images, err := ask(ctx, n.images.ListImages, &cri.ListImagesRequest{})
	if err != nil {
		return err
	}
	containers, err := ask(ctx, n.runtime.ListContainers, &cri.ListContainersRequest{})
	if err != nil {
		return err
	}
	sandboxes, err := ask(ctx, n.runtime.ListPodSandbox, &cri.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	n.stored, n.containers, n.sandboxes = images.Images, containers.Containers, sandboxes.Items
	n.pause = map[string]string{}
	for _, s := range n.sandboxes {
		answer, err := ask(ctx, n.runtime.PodSandboxStatus, &cri.PodSandboxStatusRequest{PodSandboxId: s.Id, Verbose: true})
		if status.Code(err) == codes.NotFound {
			continue // the pod is gone by now
		}
		if err != nil {
			return err
		}
		n.pause[s.Id] = infoField(answer.Info["info"], "image")
	}
	answer, err := ask(ctx, n.runtime.Status, &cri.StatusRequest{Verbose: true})
	if err != nil {
		return err
	}
	n.configured = infoField(answer.Info["config"], "sandboxImage") // containerd 1.x
	return nil
}

func ask[Request, Answer any](ctx context.Context, call func(context.Context, Request, ...grpc.CallOption) (Answer, error), r Request) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, criTimeout)
	defer cancel()
	return call(ctx, r)
}

// infoField returns a string from the JSON that containerd adds to a verbose answer. The CRI does
// not define it, so any other form is taken as missing.
func infoField(info, name string) string {
	var fields map[string]json.RawMessage
	var value string
	if json.Unmarshal([]byte(info), &fields) != nil || json.Unmarshal(fields[name], &value) != nil {
		return ""
	}
	return value
}

// list adds the images by name.
func (n *node) list(l *List, unused bool) {
	used := map[string]bool{}
	pods := map[string]*cri.PodSandbox{}
	for _, s := range n.sandboxes {
		pods[s.Id] = s
	}
	for _, c := range n.containers {
		place := place.Place{Kind: "Pod", Container: c.GetMetadata().GetName(), Use: place.UseContainer, State: state(c.State)}
		if pod := pods[c.PodSandboxId].GetMetadata(); pod != nil {
			place.Namespace, place.Name = pod.Namespace, pod.Name
		}
		n.add(l, place, used, c.GetImage().GetUserSpecifiedImage(), c.GetImage().GetImage(), c.ImageRef, c.ImageId)
	}
	for _, s := range n.sandboxes {
		if image := n.pause[s.Id]; image != "" {
			place := place.Place{Kind: "Pod", Namespace: s.GetMetadata().GetNamespace(), Name: s.GetMetadata().GetName(), Use: place.UsePause}
			n.add(l, place, used, image)
		}
	}
	if n.configured != "" {
		n.add(l, place.Place{Use: place.UsePause}, used, n.configured)
	}
	for _, image := range n.stored {
		switch {
		case used[image.Id]:
		case image.Pinned:
			n.add(l, place.Place{Use: place.UsePinned}, used, image.Id)
		case unused:
			n.add(l, place.Place{Use: place.UseUnused}, used, image.Id)
		}
	}
}

func state(s cri.ContainerState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "CONTAINER_"))
}

// add adds an image under its best name: the one in the pod's spec, which newer kubelets pass on;
// then a name that is not an ID; then the names that the runtime has for the ID.
func (n *node) add(l *List, at place.Place, used map[string]bool, names ...string) {
	var refs []reference.Reference
	for _, name := range names {
		stored := n.find(name)
		if stored != nil {
			used[stored.Id] = true
		}
		if len(refs) > 0 || name == "" {
			continue
		}
		if r, err := reference.Parse(name); err == nil {
			refs = []reference.Reference{r}
		} else if stored != nil {
			refs = namesOf(stored)
		}
	}
	if len(refs) == 0 {
		l.AddProblem(&place.Problem{Place: at, Err: fmt.Errorf("image %q no longer has a name on this node", firstNonEmpty(names))})
	}
	for _, r := range refs {
		l.Add(r, at)
	}
}

// find returns the stored image with this ID or name.
func (n *node) find(name string) *cri.Image {
	if name == "" {
		return nil
	}
	full := name
	if r, err := reference.Parse(name); err == nil {
		full = r.String()
	}
	for _, image := range n.stored {
		if image.Id == name {
			return image
		}
		for _, known := range append(image.RepoTags, image.RepoDigests...) {
			if known == full {
				return image
			}
		}
	}
	return nil
}

// namesOf returns the tags of an image, or else its names by digest.
func namesOf(image *cri.Image) []reference.Reference {
	for _, names := range [][]string{image.RepoTags, image.RepoDigests} {
		var refs []reference.Reference
		for _, name := range names {
			if r, err := reference.Parse(name); err == nil {
				refs = append(refs, r)
			}
		}
		if len(refs) > 0 {
			return refs
		}
	}
	return nil
}

func firstNonEmpty(names []string) string {
	for _, name := range names {
		if name != "" {
			return name
		}
	}
	return ""
}
