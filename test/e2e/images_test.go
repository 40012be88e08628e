package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/e2e/registry"
	"github.com/berth-registry/berth/test/fakes/upstream"
	"github.com/berth-registry/berth/test/images/served"
	"github.com/berth-registry/berth/test/sample"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestImagesList lists the images of a pod of a real containerd with berth images list.
func TestImagesList(t *testing.T) {
	onEachContainerd(t, programs{berth: berthBinary(t)}, []scenario{{"a-pod", listPod}})
}

// The images of the pod, and one that no container uses.
const (
	appImage    = "quay.io/acme/app:v1"
	initImage   = "ghcr.io/acme/init:v2"
	unusedImage = "docker.io/library/unused:v3"
)

func listPod(s *fixture) {
	hosts := map[string]string{"docker.io": "registry-1.docker.io"}
	for _, ref := range []string{appImage, initImage, unusedImage, sandboxImage} {
		registry, path, _ := strings.Cut(ref, "/")
		host := registry
		if real := hosts[registry]; real != "" {
			host = real
		}
		img, err := sample.NewProgram(s.pause)
		if err != nil {
			s.Fatal(err)
		}
		content := upstream.NewContent()
		s.push(path, img, content)
		s.decoys[host].Answer(content)
		s.claimed[s.decoys[host]] = true
		if ref != sandboxImage { // that one comes with the pod
			s.pull(ref, img)
		}
	}
	s.runPod("web")
	pod := s.openPod()
	pod.container("app", appImage)
	pod.end(pod.container("init", initImage))

	want := []string{
		initImage + ": container exited default/web init",
		appImage + ": container running default/web app",
		sandboxImage + ": pause  default/web ",
	}
	if s.older { // configured for the next pod
		want = append(want, sandboxImage+": pause   ")
	}
	s.listed(want)
	s.listed(append(slices.Clone(want), unusedImage+": unused   "), "--unused")
}

// listed checks that berth images list finds exactly these images.
func (s *fixture) listed(want []string, flags ...string) {
	s.Helper()
	args := append([]string{"images", "list", "--root", s.root, "--runtime-endpoint", "unix://" + s.daemon.Socket(), "-o", "json"}, flags...)
	cmd := exec.CommandContext(s.Context(), s.berth, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		s.Fatalf("berth images list: %v\n%s%s", err, &stderr, &stdout)
	}
	var list struct {
		Images []struct {
			Reference string
			Found     []struct{ Use, State, Namespace, Name, Container string }
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &list); err != nil {
		s.Fatal(err)
	}
	var got []string
	for _, image := range list.Images {
		for _, f := range image.Found {
			where := strings.Trim(f.Namespace+"/"+f.Name, "/")
			got = append(got, fmt.Sprintf("%s: %s %s %s %s", image.Reference, f.Use, f.State, where, f.Container))
		}
	}
	want = slices.Sorted(slices.Values(want))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		s.Errorf("berth images list %q:\n%s\nwant\n%s", flags, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// pod is the only pod of a daemon; its containers are created as kubelet does it.
type pod struct {
	*fixture
	runtime cri.RuntimeServiceClient
	images  cri.ImageServiceClient
	id      string
	config  *cri.PodSandboxConfig
}

// openPod finds the pod that runPod has created; the daemon ends its containers with it.
func (s *fixture) openPod() *pod {
	s.Helper()
	conn, err := grpc.NewClient("unix://"+s.daemon.Socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { must(s.T, conn.Close()) })
	p := &pod{fixture: s, runtime: cri.NewRuntimeServiceClient(conn), images: cri.NewImageServiceClient(conn)}
	ctx, cancel := p.limit()
	defer cancel()
	list, err := p.runtime.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil || len(list.GetItems()) != 1 {
		s.Fatalf("%d pods, want 1: %v", len(list.GetItems()), err)
	}
	p.id = list.GetItems()[0].GetId()
	state, err := p.runtime.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: p.id, Verbose: true})
	if err != nil {
		s.Fatal(err)
	}
	var info struct {
		Config *cri.PodSandboxConfig `json:"config"`
	}
	if err := json.Unmarshal([]byte(state.GetInfo()["info"]), &info); err != nil || info.Config == nil {
		s.Fatalf("the pod does not tell its configuration: %v", err)
	}
	p.config = info.Config
	return p
}

func (p *pod) limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(p.Context(), 2*time.Minute)
}

// container starts a container. kubelet names its image by the ID, and adds the name from the pod's
// spec.
func (p *pod) container(name, image string) (id string) {
	p.Helper()
	ctx, cancel := p.limit()
	defer cancel()
	stored, err := p.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: image}})
	if err != nil || stored.GetImage() == nil {
		p.Fatalf("image %s: %v", image, err)
	}
	made, err := p.runtime.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId:  p.id,
		SandboxConfig: p.config,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: name},
			Image:    &cri.ImageSpec{Image: stored.GetImage().GetId(), UserSpecifiedImage: image},
			Linux:    &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE}}},
		},
	})
	if err != nil {
		p.Fatalf("create container %s: %v", name, err)
	}
	if _, err := p.runtime.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: made.GetContainerId()}); err != nil {
		p.Fatalf("start container %s: %v", name, err)
	}
	return made.GetContainerId()
}

// end stops a container; it remains listed as exited.
func (p *pod) end(id string) {
	p.Helper()
	ctx, cancel := p.limit()
	defer cancel()
	if _, err := p.runtime.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: id, Timeout: 1}); err != nil {
		p.Fatal(err)
	}
}

// TestImagesServe pulls from a directory of images of two registries, which berth images serve
// answers from as the mirror of both.
func TestImagesServe(t *testing.T) {
	onEachContainerd(t, programs{berth: berthBinary(t)}, []scenario{{"a-directory", serveDirectory}})
}

func serveDirectory(s *fixture) {
	r := s.registry(registry.Options{})
	hub, quay := s.image("hub/library/app:v1", r), s.image("quay/library/app:v1", r)
	index, err := sample.NewIndex()
	if err != nil {
		s.Fatal(err)
	}
	s.push("hub/library/many:v1", index, r)
	dir := filepath.Join(s.TempDir(), "images")
	names := []string{r.Addr() + "/hub/library/app:v1", r.Addr() + "/quay/library/app:v1", r.Addr() + "/hub/library/many:v1"}
	s.berthDoes(append([]string{"images", "copy", "--root", s.root, "--to", "oci:" + dir}, names...)...)
	// As if they had been copied from Docker Hub and Quay.
	s.rename(dir, r.Addr()+"/hub/", "docker.io/", r.Addr()+"/quay/", "quay.io/")
	address := s.serve(dir)
	s.apply(mirrorOf("docker.io", address) + only + "\n" + strings.TrimPrefix(mirrorOf("quay.io", address), "mirrors:\n") + only)
	s.pull("docker.io/library/app:v1", hub)
	s.pull("quay.io/library/app:v1", quay)
	s.pull("docker.io/library/many@"+index.Digest, index)
	s.pullFails("quay.io/library/many:v1") // only Docker Hub's is there
}

// TestImagesLoad starts a pod from images that berth images load has put into containerd: by tag, by
// digest and by both, the pause image too. No registry is asked, which the decoys count.
func TestImagesLoad(t *testing.T) {
	onEachContainerd(t, programs{berth: berthBinary(t)}, []scenario{{"a-pod", loadPod}})
}

func loadPod(s *fixture) {
	r := s.registry(registry.Options{})
	dir := filepath.Join(s.TempDir(), "images")
	args := []string{"images", "copy", "--root", s.root, "--to", "oci:" + dir}
	names := []string{}
	images := map[string]sample.Image{}
	for _, ref := range []string{sandboxImage, appImage} {
		img, err := sample.NewProgram(s.pause)
		if err != nil {
			s.Fatal(err)
		}
		s.push(ref, img, r)
		images[ref] = img
		args = append(args, r.Addr()+"/"+ref)
		names = append(names, r.Addr()+"/"+ref, ref)
	}
	index, err := sample.NewIndex() // with a platform that is not this one's
	if err != nil {
		s.Fatal(err)
	}
	s.push(unusedImage, index, r)
	args, names = append(args, r.Addr()+"/"+unusedImage), append(names, r.Addr()+"/"+unusedImage, unusedImage)
	s.berthDoes(args...)
	s.rename(dir, names...)
	load := []string{"images", "load", "--pin", "--runtime-endpoint", s.daemon.Socket(), dir}
	if out := s.berthDoes(load...); !strings.Contains(out, "3 images loaded, 0 there already") {
		s.Errorf("the first time: %s", out)
	}
	if out := s.berthDoes(load...); !strings.Contains(out, "0 images loaded, 3 there already") {
		s.Errorf("the second time: %s", out)
	}
	s.runPod("web")
	pod := s.openPod()
	name, _, _ := strings.Cut(appImage, ":")
	pod.container("tag", appImage)
	pod.container("digest", name+"@"+images[appImage].Digest)
	pod.container("both", appImage+"@"+images[appImage].Digest)
	ctx, cancel := pod.limit()
	defer cancel()
	list, err := pod.images.ListImages(ctx, &cri.ListImagesRequest{})
	if err != nil {
		s.Fatal(err)
	}
	if n := len(list.GetImages()); n != 3 {
		s.Errorf("the CRI lists %d images, want 3", n)
	}
	for _, image := range list.GetImages() {
		if knows := s.daemon.Version() >= "1.7"; image.GetPinned() != knows { // 1.6 knows no pin
			s.Errorf("%q: pinned %v", image.GetRepoTags(), image.GetPinned())
		}
	}
}

// berthDoes runs berth and returns what it prints.
func (s *fixture) berthDoes(args ...string) string {
	s.Helper()
	out, err := exec.CommandContext(s.Context(), s.berth, args...).CombinedOutput()
	if err != nil {
		s.Fatalf("berth %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// rename gives images of a directory other names: pairs of old and new.
func (s *fixture) rename(dir string, pairs ...string) {
	s.Helper()
	file := filepath.Join(dir, "index.json")
	text, err := os.ReadFile(file)
	if err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600); err != nil {
		s.Fatal(err)
	}
}

// serve starts berth images serve and returns its address.
func (s *fixture) serve(dir string) string {
	s.Helper()
	return served.Start(s.T, exec.Command(s.berth, "images", "serve", "--listen", "127.0.0.1:0", dir))
}
