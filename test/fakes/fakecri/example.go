package fakecri

import cri "k8s.io/cri-api/pkg/apis/runtime/v1"

// Example returns a node with a running pod, a pod that has ended, images that no container uses,
// and a kubelet that names images by their IDs.
func Example() *Runtime {
	const (
		nginx   = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
		busybox = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
		pause   = "sha256:3333333333333333333333333333333333333333333333333333333333333333"
		old     = "sha256:4444444444444444444444444444444444444444444444444444444444444444"
		pinned  = "sha256:5555555555555555555555555555555555555555555555555555555555555555"
	)
	container := func(pod, name, id, specified string, state cri.ContainerState) *cri.Container {
		return &cri.Container{
			Id: pod + name, PodSandboxId: pod, Metadata: &cri.ContainerMetadata{Name: name}, State: state,
			Image: &cri.ImageSpec{Image: id, UserSpecifiedImage: specified}, ImageRef: id, ImageId: id,
		}
	}
	sandbox := func(id, name string) *cri.PodSandbox {
		return &cri.PodSandbox{Id: id, Metadata: &cri.PodSandboxMetadata{Name: name, Namespace: "shop"}}
	}
	return &Runtime{
		Images: []*cri.Image{
			{Id: nginx, RepoTags: []string{"docker.io/library/nginx:1.27", "registry.corp/nginx:old"}, RepoDigests: []string{"docker.io/library/nginx@" + nginx}},
			{Id: busybox, RepoDigests: []string{"docker.io/library/busybox@" + busybox}},
			{Id: pause, RepoTags: []string{"registry.k8s.io/pause:3.10"}, Pinned: true},
			{Id: old, RepoTags: []string{"quay.io/acme/old:1"}},
			{Id: pinned, RepoTags: []string{"registry.k8s.io/pause:3.11"}, Pinned: true},
		},
		Containers: []*cri.Container{
			container("p1", "web", nginx, "nginx:1.27", cri.ContainerState_CONTAINER_RUNNING),
			container("p1", "init", busybox, "", cri.ContainerState_CONTAINER_EXITED),
			container("p2", "gone", "ghcr.io/acme/job:2", "", cri.ContainerState_CONTAINER_EXITED),
		},
		Sandboxes: []*cri.PodSandbox{sandbox("p1", "web-0"), sandbox("p2", "job-1"), sandbox("p3", "going")},
		SandboxInfo: map[string]map[string]string{
			"p1": {"info": `{"image":"registry.k8s.io/pause:3.10","runtimeSpec":{}}`},
			"p2": {"info": `no JSON`},
		},
		Info: map[string]string{"config": `{"sandboxImage":"registry.k8s.io/pause:3.9"}`},
	}
}
