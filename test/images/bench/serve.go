package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/berth-registry/berth/test/images/sample"
	"github.com/berth-registry/berth/test/images/trial"
)

// server is one way to answer pulls from what was copied to disk.
type server struct {
	contestant
	command func(addr string) []string // none for a registry that runs already
}

// serve starts each server with the set on disk, and pulls every image from it as a node does, with
// several clients at once. The time is from the start of the process to the last byte. Beside them is a
// docker-registry that has the set in its store and runs already.
func serve(ctx context.Context, fixture *trial.Fixture, s settings, dir string, out, progress io.Writer) (err error) {
	packed := filepath.Join(dir, "served")
	if err := os.Mkdir(packed, 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(packed)) }()
	all := []*server{{contestant: contestant{row: "docker-registry, which runs already"}}}
	for _, name := range []string{"images.tar.zst", "images.tar", "layout"} {
		at := filepath.Join(packed, name)
		to := at
		if name == "layout" {
			to = "oci:" + at
		}
		if text, err := fixture.Command(ctx, to).CombinedOutput(); err != nil {
			return fmt.Errorf("berth images copy: %w\n%s", err, text)
		}
		all = append(all, &server{contestant{row: "**berth images serve**, " + name}, func(addr string) []string {
			return []string{s.berth, "images", "serve", at, "--listen", addr}
		}})
	}
	if s.hauler != "" {
		h, err := haulerServer(ctx, fixture, s, packed, progress)
		if err != nil {
			return err
		}
		all = append(all, h)
	}
	before := load()
	rnd := rand.New(rand.NewPCG(s.sample.Seed, 9))
	order := slices.Clone(all)
	for round := range s.rounds {
		rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, c := range order {
			if err := c.round(ctx, fixture, s.parallel); err != nil {
				return fmt.Errorf("%s: %w", c.row, err)
			}
			fmt.Fprintf(progress, "round %d: %s: %s\n", round+1, c.row, c.times[round].Round(time.Millisecond))
		}
	}
	printMachine(out, s, before)
	fmt.Fprintf(out, "| from the start to the last of %d images | × docker-registry | middle half | largest memory |\n|---|---:|---:|---:|\n", len(fixture.Set.Images))
	for _, c := range all {
		memory := "–"
		if c.peak > 0 {
			memory = fmt.Sprintf("%.0f MiB", float64(c.peak)/1024)
		}
		one := all[0].median().Seconds()
		fmt.Fprintf(out, "| %s | %.2f | %.2f–%.2f | %s |\n", c.row, c.median().Seconds()/one, c.quantile(0.25).Seconds()/one, c.quantile(0.75).Seconds()/one, memory)
	}
	return nil
}

// haulerServer writes the set to a file of hauler. Its server begins with that file alone.
func haulerServer(ctx context.Context, fixture *trial.Fixture, s settings, packed string, progress io.Writer) (*server, error) {
	p, err := locate(ctx, s, progress)
	if err != nil {
		return nil, err
	}
	haul, store := filepath.Join(packed, "haul.tar.zst"), filepath.Join(packed, "store")
	registry, config := filepath.Join(packed, "registry"), filepath.Join(packed, "registry.yaml")
	args := p.haulerDo(store, fmt.Sprintf("sync --image-txt %q --no-progress", fixture.List()), fmt.Sprintf("save --filename %q", haul))
	if text, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("hauler: %w\n%s", err, text[max(0, len(text)-2000):])
	}
	return &server{contestant{row: p.hauler.name + " store load and serve, haul.tar.zst"}, func(addr string) []string {
		text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n", registry, addr)
		if err := errors.Join(os.RemoveAll(store), os.RemoveAll(registry), os.WriteFile(config, []byte(text), 0o600)); err != nil {
			panic(err) // a directory of this program
		}
		return p.haulerDo(store, fmt.Sprintf("load --filename %q", haul), fmt.Sprintf("serve registry --directory %q --config %q", registry, config))
	}}, nil
}

// round starts the server, pulls everything, and stops it.
func (c *server) round(ctx context.Context, fixture *trial.Fixture, clients int) error {
	begin := time.Now()
	if c.command == nil {
		err := pullAll(ctx, fixture.Source.Addr(), fixture.Set, clients)
		c.times = append(c.times, time.Since(begin))
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return err
	}
	args := c.command(addr)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "HOME="+fixture.Dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	begin = time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is killed
	}()
	err = answers(ctx, addr, ended)
	if err == nil {
		err = pullAll(ctx, addr, fixture.Set, clients)
	}
	c.times = append(c.times, time.Since(begin))
	c.peak = max(c.peak, peakOf(cmd.Process.Pid))
	_ = cmd.Process.Kill() // it may have ended, with an error
	<-ended
	if err != nil {
		return fmt.Errorf("%w\n%s", err, text.String()[max(0, text.Len()-2000):])
	}
	return nil
}

// answers waits until a registry does.
func answers(ctx context.Context, addr string, ended <-chan struct{}) error {
	for {
		resp, err := get(ctx, "http://"+addr+"/v2/")
		if err == nil {
			return resp.Body.Close()
		}
		select {
		case <-ended:
			return errors.New("it has ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func get(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", strings.Join([]string{sample.OCIIndex, sample.OCIManifest, sample.DockerList, sample.DockerManifest}, ", "))
	resp, err := http.DefaultClient.Do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.Join(fmt.Errorf("%s: %s", url, resp.Status), resp.Body.Close())
	}
	return resp, err
}

// pullAll pulls every image of the set, this many at a time: the manifest by its tag, that of
// linux/amd64 if it is an index, and its blobs.
func pullAll(ctx context.Context, addr string, set *sample.Set, clients int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(clients)
	for _, i := range set.Images {
		group.Go(func() error { return pullOne(ctx, "http://"+addr+"/v2/"+i.Repository, i.Tag, set) })
	}
	return group.Wait()
}

func pullOne(ctx context.Context, root, reference string, set *sample.Set) error {
	type descriptor struct {
		Digest   string
		Platform struct{ OS, Architecture string }
	}
	var doc struct {
		Manifests, Layers []descriptor
		Config            descriptor
	}
	resp, err := get(ctx, root+"/manifests/"+reference)
	if err != nil {
		return err
	}
	err = errors.Join(json.NewDecoder(resp.Body).Decode(&doc), resp.Body.Close())
	if err != nil {
		return err
	}
	for _, m := range doc.Manifests {
		if m.Platform.OS == "linux" && m.Platform.Architecture == "amd64" {
			return pullOne(ctx, root, m.Digest, set)
		}
	}
	for _, d := range append(doc.Layers, doc.Config) {
		resp, err := get(ctx, root+"/blobs/"+d.Digest)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		if n != set.Unique[d.Digest] {
			return fmt.Errorf("%s of %s has %d bytes, want %d", d.Digest, root, n, set.Unique[d.Digest])
		}
	}
	return nil
}

// peakOf returns the largest resident size of a process so far, in KiB, or 0 if it has ended.
func peakOf(pid int) int {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(raw)
	if m == nil {
		return 0
	}
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return 0
	}
	return kib
}
