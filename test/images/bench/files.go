package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

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
	p, err := locate(ctx, s, progress)
	if err != nil {
		return err
	}
	all := packers(ctx, fixture, s, dir, p)
	before := load()
	rnd := rand.New(rand.NewPCG(s.sample.Seed, 7))
	order := slices.Clone(all)
	for round := range s.rounds {
		rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, c := range order {
			if err := c.round(ctx, fixture, dir, peak); err != nil {
				return fmt.Errorf("%s: %w", c.to.row, err)
			}
			fmt.Fprintf(progress, "round %d: %s: %s and %s\n", round+1, c.to.row, c.to.times[round], c.from.times[round])
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

// packers are the ways to write the set to disk, and back to a registry.
func packers(ctx context.Context, fixture *trial.Fixture, s settings, dir string, p peers) []*packer {
	var all []*packer
	packed := filepath.Join(dir, "packed")
	for _, way := range []struct{ row, prefix, name string }{
		{"**to one file, .tar.zst**", "", "images.tar.zst"}, {"to one file, .tar", "", "images.tar"}, {"to a directory", "oci:", "layout"},
	} {
		row := "berth images copy, " + way.row
		at := func(target string) string { return way.prefix + filepath.Join(target, way.name) }
		all = append(all, &packer{
			to:   contestant{row: row, args: func(target string) []string { return fixture.Command(ctx, at(target)).Args }},
			from: contestant{row: row, ours: true, args: func(target string) []string { return fixture.From(ctx, at(packed), target).Args }},
		})
	}
	if s.other != "" {
		const row = "the other berth, to a directory" // which every version can
		all = append(all, &packer{
			to: contestant{row: row, args: func(target string) []string {
				return s.otherArgs(fixture.Command(ctx, "oci:"+filepath.Join(target, "layout")))
			}},
			from: contestant{row: row, args: func(target string) []string {
				return s.otherArgs(fixture.From(ctx, "oci:"+filepath.Join(packed, "layout"), target))
			}},
		})
	}
	source := fixture.Source.Addr()
	// each returns a packer of a program that has a file or a directory for each tag.
	each := func(row string, file func(at string, i int) string, registry string, to, from []string) *packer {
		return &packer{
			to: contestant{row: row, args: func(target string) []string {
				return p.perTag(fixture, s, "pack.txt", func(i int, tag string) string { return registry + source + "/" + tag + " " + file(target, i) }, to...)
			}},
			from: contestant{row: row, args: func(target string) []string {
				return p.perTag(fixture, s, "unpack.txt", func(i int, tag string) string { return file(packed, i) + " " + registry + target + "/" + tag }, from...)
			}},
		}
	}
	all = append(all,
		// In skopeo's archives manifests of Docker become others, with other digests.
		each(p.skopeo.name+", a directory for each tag", func(at string, i int) string { return fmt.Sprintf("dir:%s/%d", at, i) }, "docker://", p.skopeoCopy(), p.skopeoCopy()),
		each(p.crane.name+", a directory for each tag", func(at string, i int) string { return fmt.Sprintf("%s/%d", at, i) }, "",
			[]string{p.crane.path, "pull", "--insecure", "--format", "oci"}, []string{p.crane.path, "push", "--insecure"}),
		&packer{
			to: contestant{row: p.regsync.name + ", a directory for each repository", args: func(target string) []string {
				return p.regsyncOnce(fixture, s, source, "ocidir://"+target)
			}},
			from: contestant{row: p.regsync.name + ", a directory for each repository", args: func(target string) []string {
				return p.regsyncOnce(fixture, s, "ocidir://"+packed, target)
			}},
		})
	if p.hauler.path == "" {
		return all
	}
	const haul = "haul.tar.zst"
	row := p.hauler.name + ", " + haul
	return append(all, &packer{
		to: contestant{row: row, args: func(target string) []string {
			return p.haulerDo(filepath.Join(dir, "store-to"), fmt.Sprintf("sync --image-txt %q --concurrency %d --no-progress", fixture.List(), s.parallel),
				fmt.Sprintf("save --filename %q", filepath.Join(target, haul)))
		}},
		from: contestant{row: row, args: func(target string) []string {
			return p.haulerDo(filepath.Join(dir, "store-from"), fmt.Sprintf("load --filename %q", filepath.Join(packed, haul)), fmt.Sprintf("copy registry://%s --plain-http", target))
		}},
	})
}

// round writes the set to disk and copies it to a registry.
func (p *packer) round(ctx context.Context, fixture *trial.Fixture, dir, peak string) (err error) {
	packed := filepath.Join(dir, "packed")
	if err := os.Mkdir(packed, 0o755); err != nil {
		return err
	}
	defer func() {
		for _, name := range []string{packed, filepath.Join(dir, "store-to"), filepath.Join(dir, "store-from")} {
			err = errors.Join(err, os.RemoveAll(name))
		}
	}()
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
