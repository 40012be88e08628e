package e2e

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/berth-registry/berth/test/sample"
)

const (
	layers    = 4
	layerSize = 256 << 10
	// requests is the number of requests of a pull to one host: HEAD, manifest, config and layers.
	requests = 3 + layers
)

// timing is one pull of a new image.
type timing struct {
	took  time.Duration
	asked map[string]int // requests that containerd began, by host
	err   error
}

// layered makes a new image of four layers and pushes it.
func (s *fixture) layered(reference string, to ...pusher) sample.Image {
	s.Helper()
	img, err := sample.NewLayers(layers, layerSize)
	if err != nil {
		s.Fatal(err)
	}
	s.push(reference, img, to...)
	return img
}

// timed pulls ref, which must be img, for at most limit.
func (s *fixture) timed(ref string, img sample.Image, limit time.Duration) timing {
	s.Helper()
	from := s.daemon.LogSize()
	ctx, cancel := context.WithTimeout(s.Context(), limit)
	defer cancel()
	began := time.Now()
	got, err := s.daemon.Pull(ctx, ref, nil)
	t := timing{took: time.Since(began), asked: begun(s.daemon.Log(from)), err: err}
	if err == nil && got.ID != img.Blobs[0] {
		s.Fatalf("pull %s: got image %s, want %s", ref, got.ID, img.Blobs[0])
	}
	return t
}

// begun counts the requests that containerd logs, also those of which no packet arrives.
func begun(log string) map[string]int {
	count := map[string]int{}
	for _, m := range regexp.MustCompile(`msg="do request".* url="https?://([^/"]+)/`).FindAllStringSubmatch(log, -1) {
		count[m[1]]++
	}
	return count
}

// path is one way to pull: an upstream, and where new images for it are pushed.
type path struct {
	upstream string
	at       pusher
}

// next pulls a new image.
func (n *mirrorNode) next(p path, limit time.Duration) timing {
	n.Helper()
	n.numbered++
	tag := fmt.Sprintf("library/app:n%d", n.numbered)
	img := n.layered(tag, p.at)
	return n.timed(p.upstream+"/"+tag, img, limit)
}

// pairs pulls count new images along each path, alternating, so that other load on the machine
// affects both.
func (n *mirrorNode) pairs(count int, a, b path) (as, bs []timing) {
	n.Helper()
	for i := range count {
		if i%2 == 0 {
			as, bs = append(as, n.mustNext(a)), append(bs, n.mustNext(b))
		} else {
			bs, as = append(bs, n.mustNext(b)), append(as, n.mustNext(a))
		}
	}
	return as, bs
}

func (n *mirrorNode) mustNext(p path) timing {
	n.Helper()
	t := n.next(p, pullTime)
	if t.err != nil {
		n.Fatalf("pull from %s: %v", p.upstream, t.err)
	}
	return t
}

func median(all []timing) time.Duration {
	var took []time.Duration
	for _, t := range all {
		took = append(took, t.took)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// asked returns the most requests of one pull to a host, and to all hosts together.
func asked(timings []timing, host string) (one, all int) {
	for _, t := range timings {
		sum := 0
		for _, count := range t.asked {
			sum += count
		}
		one, all = max(one, t.asked[host]), max(all, sum)
	}
	return one, all
}

// short formats a duration for a table.
func short(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
