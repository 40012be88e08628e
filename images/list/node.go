package list

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-registry/berth/images/place"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/internal/cri"
)

// RuntimeSockets returns where container runtimes listen for the CRI, the most common first:
// containerd itself, containerd in k3s and RKE2, k0s, MicroK8s; CRI-O; cri-dockerd.
func RuntimeSockets() []string {
	return []string{cri.Containerd, cri.K3s, cri.K0s, cri.MicroK8s, cri.CRIO, cri.Dockerd}
}

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
		case errors.Is(err, cri.ErrNoCRI):
			refused = append(refused, fmt.Errorf("%s: the runtime has no CRI plugin; check disabled_plugins in containerd's config.toml", socket))
		default:
			refused = append(refused, fmt.Errorf("%s: %w", socket, err))
		}
	}
	for _, err := range refused {
		l.AddProblem(err)
	}
	if len(refused) == 0 {
		l.AddProblem(fmt.Errorf("no container runtime listens at %s; name its socket, or read manifests or a list instead", strings.Join(sockets, ", ")))
	}
}

func (l *List) addRuntime(ctx context.Context, socket string, unused bool) error {
	path := strings.TrimPrefix(socket, "unix://")
	if _, err := os.Stat(path); err != nil {
		return err
	}
	client, err := cri.Dial(path)
	if err != nil {
		return err
	}
	defer client.Close()
	n := &node{client: client}
	if err := n.read(ctx); err != nil {
		return cri.Error(err)
	}
	n.list(l, unused)
	return nil
}

// node is the state of a runtime.
type node struct {
	client *cri.Client

	containers []*v1.Container
	sandboxes  []*v1.PodSandbox
	pause      map[string]string // image by sandbox ID
	stored     []*v1.Image
	configured string // pause image of the next pod; "" if the runtime does not say
}

// read makes all requests first, so that a runtime that fails midway adds nothing.
func (n *node) read(ctx context.Context) error {
	images, err := cri.Ask(ctx, n.client.Images.ListImages, &v1.ListImagesRequest{})
	if err != nil {
		return err
	}
	containers, err := cri.Ask(ctx, n.client.Runtime.ListContainers, &v1.ListContainersRequest{})
	if err != nil {
		return err
	}
	sandboxes, err := cri.Ask(ctx, n.client.Runtime.ListPodSandbox, &v1.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	n.stored, n.containers, n.sandboxes = images.Images, containers.Containers, sandboxes.Items
	n.pause = map[string]string{}
	for _, s := range n.sandboxes {
		answer, err := cri.Ask(ctx, n.client.Runtime.PodSandboxStatus, &v1.PodSandboxStatusRequest{PodSandboxId: s.Id, Verbose: true})
		if status.Code(err) == codes.NotFound {
			continue // the pod is gone by now
		}
		if err != nil {
			return err
		}
		n.pause[s.Id] = infoField(answer.Info["info"], "image")
	}
	answer, err := cri.Ask(ctx, n.client.Runtime.Status, &v1.StatusRequest{Verbose: true})
	if err != nil {
		return err
	}
	n.configured = infoField(answer.Info["config"], "sandboxImage") // containerd 1.x
	return nil
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
	pods := map[string]*v1.PodSandbox{}
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

func state(s v1.ContainerState) string {
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
func (n *node) find(name string) *v1.Image {
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
func namesOf(image *v1.Image) []reference.Reference {
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
