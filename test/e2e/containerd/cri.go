package containerd

import (
	"context"
	"errors"
	"fmt"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Credential is a login that kubelet passes with a pull: it has no host.
type Credential struct {
	Username, Password string
}

// Image is an image in containerd's store.
type Image struct {
	ID          string   // the digest of its config
	RepoDigests []string // name@digest of what its tag named
}

// Pull pulls ref through the CRI, as kubelet does. A nil credential is an anonymous pull.
func (d *Daemon) Pull(ctx context.Context, ref string, c *Credential) (Image, error) {
	request := &cri.PullImageRequest{Image: &cri.ImageSpec{Image: ref}}
	if c != nil {
		request.Auth = &cri.AuthConfig{Username: c.Username, Password: c.Password}
	}
	if _, err := d.images.PullImage(ctx, request); err != nil {
		return Image{}, err
	}
	answer, err := d.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: request.Image})
	if err != nil {
		return Image{}, err
	}
	if answer.GetImage() == nil {
		return Image{}, fmt.Errorf("image %s is not there after its pull", ref)
	}
	return Image{ID: answer.GetImage().GetId(), RepoDigests: answer.GetImage().GetRepoDigests()}, nil
}

// RunPod runs a pod sandbox on the host's network, pulls its image if necessary, and waits until it
// is ready. Close stops it.
func (d *Daemon) RunPod(ctx context.Context, name string) error {
	answer, err := d.runtime.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: name, Namespace: "default", Uid: d.cgroup + "-" + name},
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent: "/" + d.cgroup,
			SecurityContext: &cri.LinuxSandboxSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE},
			},
		},
	}})
	if err != nil {
		return err
	}
	id := answer.GetPodSandboxId()
	d.mu.Lock()
	d.pods = append(d.pods, id)
	d.mu.Unlock()
	state, err := d.runtime.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: id})
	if err != nil {
		return err
	}
	if got := state.GetStatus().GetState(); got != cri.PodSandboxState_SANDBOX_READY {
		return fmt.Errorf("pod %s is %s", name, got)
	}
	return nil
}

// stopPods stops and removes all pods.
func (d *Daemon) stopPods() error {
	d.mu.Lock()
	pods := d.pods
	d.pods = nil
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var errs []error
	for _, id := range pods {
		if _, err := d.runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
			errs = append(errs, err)
			continue
		}
		_, err := d.runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
