package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-registry/berth/test/sample"
	"golang.org/x/sys/unix"
)

// pulledImage is an image of Spegel's benchmark (https://github.com/spegel-org/benchmark): random
// bytes in layers of the same size.
type pulledImage struct {
	name   string
	layers int
	bytes  int
}

// TestPullTimes compares the times of pulls with Berth's hosts.toml, with a hand-written one, and
// without any, in turns, and fails if the requests of the first two differ. It judges no time. With
// BERTH_PULL_ROUNDS it prints the table of docs/benchmarks.md, for images as large as Spegel's.
func TestPullTimes(t *testing.T) {
	rounds := 1
	images := []pulledImage{{"64 KiB", 1, 64 << 10}, {"64 KiB", 4, 64 << 10}}
	if text := os.Getenv("BERTH_PULL_ROUNDS"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
		images = nil
		for _, size := range []struct {
			name  string
			bytes int
		}{{"10 MB", 10 << 20}, {"100 MB", 100 << 20}, {"1 GB", 1 << 30}} {
			images = append(images, pulledImage{size.name, 1, size.bytes}, pulledImage{size.name, 4, size.bytes})
		}
	}
	var lines pullLines
	var rows []scenario
	for _, i := range images {
		rows = append(rows, scenario{strings.ReplaceAll(fmt.Sprintf("%s-%d", i.name, i.layers), " ", ""), func(s *fixture) {
			lines.add(newRecordedPulls(s).times(i, rounds))
		}})
	}
	before := loadAverage(t)
	program := programs{berth: berthBinary(t)}
	t.Run("all", func(t *testing.T) { // returns when the parallel subtests have ended
		onEachContainerd(t, program, rows)
	})
	fmt.Printf("%d rounds; %s; %d processors; load average %s before, %s after\n\n%s", rounds, runtime.Version(), runtime.NumCPU(), before, loadAverage(t), lines.table())
}

// pullLines are the rows of the table, by version.
type pullLines struct {
	mu  sync.Mutex
	all []string
}

func (l *pullLines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
}

func (l *pullLines) table() string {
	// Versions run side by side unless -parallel is 1; a stable sort keeps the order of the images.
	slices.SortStableFunc(l.all, func(a, b string) int {
		return strings.Compare(strings.SplitN(a, "|", 3)[1], strings.SplitN(b, "|", 3)[1])
	})
	return "| containerd | image | layers | requests | the same | Berth / by hand | middle half | Berth / no file | middle half |\n" +
		"|---|---|---:|---:|---|---:|---:|---:|---:|\n" + strings.Join(l.all, "\n") + "\n"
}

// times pulls an image in each round with Berth's file, with the hand-written one, and without a
// file straight from the mirror's address, in random order, and returns the row of the table.
func (p *recordedPulls) times(i pulledImage, rounds int) string {
	p.Helper()
	img, err := sample.NewLayers(i.layers, i.bytes/i.layers)
	if err != nil {
		p.Fatal(err)
	}
	p.push(repo, img, p.store)
	id, c := img.Blobs[0], sameCases()[1]
	if c.name != "order" {
		p.Fatalf("the case is %s", c.name)
	}
	const limit = 10 * time.Minute
	ways := []struct{ name, ref, hand string }{
		{"berth", ref, ""}, {"hand", ref, c.hand}, {"none", p.names.Replace("FIRST/" + repo), "server = \"https://registry-1.docker.io\"\n"},
	}
	took := map[string][]float64{}
	texts := map[string][]string{}
	pull := func(w int) time.Duration {
		p.written(c, ways[w].hand)
		unix.Sync() // what an earlier pull wrote
		var seconds time.Duration
		texts[ways[w].name], seconds = p.recorded(ways[w].ref, id, limit)
		return seconds
	}
	// The first pulls do not count. The control must be noticed with this image too.
	for w := range ways {
		pull(w)
	}
	p.written(c, c.other)
	other, _ := p.recorded(ref, id, limit)
	if firstDifference(texts["berth"], other) == "" {
		p.Errorf("a file that is different was not noticed:\n%s", indent(c.other))
	}
	if want := len(viaHub(fetch{img: img}).all()); len(texts["berth"]) != want {
		p.Errorf("%d requests, want %d", len(texts["berth"]), want)
	}
	rnd := rand.New(rand.NewPCG(1, uint64(i.bytes+i.layers)))
	for range rounds {
		for _, w := range rnd.Perm(len(ways)) {
			took[ways[w].name] = append(took[ways[w].name], pull(w).Seconds())
		}
		if difference := firstDifference(texts["berth"], texts["hand"]); difference != "" {
			p.Fatalf("Berth's file and the hand-written one lead to different requests: %s", difference)
		}
	}
	containerd := strings.Split(p.Name(), "/")[2] // the release, and how it pulls
	return fmt.Sprintf("| %s | %s | %d | %d | yes | %s | %s |", containerd, i.name, i.layers, len(texts["berth"]),
		ratios(took["berth"], took["hand"]), ratios(took["berth"], took["none"]))
}

// ratios returns the median of the ratios of each round, and the middle half of them.
func ratios(a, b []float64) string {
	var all []float64
	for i := range a {
		all = append(all, a[i]/b[i])
	}
	slices.Sort(all)
	at := func(q float64) float64 { return all[int(q*float64(len(all)-1)+0.5)] }
	return fmt.Sprintf("%.2f | %.2f–%.2f", at(0.5), at(0.25), at(0.75))
}

func loadAverage(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(raw), " ")
	return first
}
