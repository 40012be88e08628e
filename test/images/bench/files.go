package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-registry/berth/test/gobuild"
	"github.com/berth-registry/berth/test/images/trial"
)

// packer is one way to write the set to disk and to bring it to a registry.
type packer struct {
	to, from contestant
	size     int64 // bytes on disk
}

// files makes each way write the set below a directory, and then copy it from there to an empty
// registry, in random order in each round. It prints two tables.
func files(ctx context.Context, fixture *trial.Fixture, s settings, dir string, out, progress io.Writer) error {
	peak := filepath.Join(dir, "peak")
	if err := gobuild.Programs(ctx, "", peak, "github.com/berth-registry/berth/test/benchprovider/peak"); err != nil {
		return err
	}
	all, err := packers(ctx, fixture, s, dir)
	if err != nil {
		return err
	}
	before := load()
	rnd := rand.New(rand.NewPCG(s.sample.Seed, 7))
	order := slices.Clone(all)
	for round := range s.rounds {
		rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, p := range order {
			if err := p.round(ctx, fixture, dir, peak); err != nil {
				return fmt.Errorf("%s: %w", p.to.row, err)
			}
			fmt.Fprintf(progress, "round %d: %s: %s and %s\n", round+1, p.to.row, p.to.times[round], p.from.times[round])
		}
	}
	printMachine(out, s, before)
	for _, t := range []struct {
		head string
		of   func(*packer) *contestant
	}{
		{"from a registry to disk", func(p *packer) *contestant { return &p.to }},
		{"from disk to an empty registry", func(p *packer) *contestant { return &p.from }},
	} {
		fmt.Fprintf(out, "| %s | median | middle half | × .tar.zst | largest process | on disk |\n|---|---:|---:|---:|---:|---:|\n", t.head)
		ours := t.of(all[0]).median()
		for _, p := range all {
			c := t.of(p)
			fmt.Fprintf(out, "| %s | %.2f s | %.2f s–%.2f s | %.2f | %.0f MiB | %.1f MiB |\n", c.row, c.median().Seconds(), c.quantile(0.25).Seconds(),
				c.quantile(0.75).Seconds(), float64(c.median())/float64(ours), float64(c.peak)/1024, float64(p.size)/(1<<20))
		}
		fmt.Fprintln(out)
	}
	return nil
}

func packers(ctx context.Context, fixture *trial.Fixture, s settings, dir string) ([]*packer, error) {
	skopeo, err := exec.LookPath("skopeo")
	if err != nil {
		return nil, errors.New("skopeo is missing: run apt-get install -y --no-install-recommends skopeo")
	}
	version, err := exec.CommandContext(ctx, skopeo, "--version").Output()
	if err != nil {
		return nil, err
	}
	var all []*packer
	for _, way := range []struct{ row, prefix, name string }{
		{"**to one file, .tar.zst**", "", "images.tar.zst"}, {"to one file, .tar", "", "images.tar"}, {"to a directory", "oci:", "layout"},
	} {
		row := "berth images copy, " + way.row
		at := func(target string) string { return way.prefix + filepath.Join(target, way.name) }
		all = append(all, &packer{
			to: contestant{row: row, args: func(target string) []string { return fixture.Command(ctx, at(target)).Args }},
			from: contestant{row: row, ours: true, args: func(target string) []string {
				return fixture.From(ctx, at(filepath.Join(dir, "packed")), target).Args
			}},
		})
	}
	list := func(name string, line func(i int, tag string) string) string {
		var text strings.Builder
		for i, t := range fixture.Set.Tags {
			text.WriteString(line(i, t.Repository+":"+t.Tag) + "\n")
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			panic(err) // a directory of this program
		}
		return file
	}
	command := func(file string) []string {
		return []string{
			"/usr/bin/xargs", "-a", file, "-n", "2", "-P", fmt.Sprint(s.parallel), skopeo, "copy", "--quiet", "--all", "--insecure-policy",
			"--src-tls-verify=false", "--dest-tls-verify=false",
		}
	}
	archive := func(at string, i int) string { return fmt.Sprintf("oci-archive:%s/%d.tar", at, i) }
	row := fmt.Sprintf("skopeo %s, an oci-archive for each tag, %d processes at a time", strings.TrimSpace(strings.TrimPrefix(string(version), "skopeo version")), s.parallel)
	return append(all, &packer{
		to: contestant{row: row, args: func(target string) []string {
			return command(list("pack.txt", func(i int, tag string) string {
				return "docker://" + fixture.Source.Addr() + "/" + tag + " " + archive(target, i)
			}))
		}},
		from: contestant{row: row, args: func(target string) []string {
			return command(list("unpack.txt", func(i int, tag string) string {
				return archive(filepath.Join(dir, "packed"), i) + " docker://" + target + "/" + tag
			}))
		}},
	}), nil
}

// round writes the set to disk and copies it to a registry.
func (p *packer) round(ctx context.Context, fixture *trial.Fixture, dir, peak string) (err error) {
	packed := filepath.Join(dir, "packed")
	if err := os.Mkdir(packed, 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(packed)) }()
	if err := p.to.measure(ctx, dir, peak, packed); err != nil {
		return err
	}
	p.size = 0
	err = filepath.WalkDir(packed, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			p.size += info.Size()
		}
		return err
	})
	if err != nil {
		return err
	}
	return p.from.race(ctx, fixture, dir, peak)
}
