package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// quantile returns the value below which a part of the sorted samples is.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func (o options) table(what string, samples []time.Duration) {
	slices.Sort(samples)
	fmt.Fprintf(o.out, "| %s | %d | %.0f ms | %.0f ms | %.0f ms |\n", what, len(samples),
		ms(quantile(samples, 0.5)), ms(quantile(samples, 0.99)), ms(samples[len(samples)-1]))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// drift damages one file after the other and waits until each is repaired.
func drift(ctx context.Context, o options) error {
	n, err := newNode(o, "drift")
	if err != nil {
		return err
	}
	defer n.close()
	if err := n.save(large(o.files, -1, 0, `{mode: "off"}`)); err != nil {
		return err
	}
	if err := n.start(ctx); err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(o.seed, 0))
	kinds := []struct {
		name   string
		damage func(file string) error
	}{
		{"edited", func(f string) error { return os.WriteFile(f, []byte("server = \"https://evil.corp\"\n"), 0o644) }},
		{"truncated", func(f string) error { return os.Truncate(f, 40) }},
		{"deleted", os.Remove},
		{"directory removed", func(f string) error { return os.RemoveAll(filepath.Dir(f)) }},
		{"made a symbolic link", func(f string) error { return errors.Join(os.Remove(f), os.Symlink("/etc/hostname", f)) }},
	}
	var all []time.Duration
	each := make([][]time.Duration, len(kinds))
	for _, i := range rnd.Perm(o.files) {
		file := n.hosts(upstream(i))
		want, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		k := len(all) % len(kinds)
		begin := time.Now()
		if err := kinds[k].damage(file); err != nil {
			return err
		}
		err = until(ctx, 30*time.Second, file+" "+kinds[k].name+" is put right", func() bool {
			info, err := os.Lstat(file)
			if err != nil || !info.Mode().IsRegular() {
				return false
			}
			b, err := os.ReadFile(file)
			return err == nil && bytes.Equal(b, want)
		})
		if err != nil {
			return err
		}
		took := time.Since(begin)
		all, each[k] = append(all, took), append(each[k], took)
		time.Sleep(time.Duration(rnd.Int64N(int64(20 * time.Millisecond))))
	}
	if _, err := n.stop(); err != nil {
		return err
	}
	fmt.Fprintf(o.out, "\n| damage, %d upstreams | files | median | p99 | longest |\n|---|---:|---:|---:|---:|\n", o.files)
	for k, kind := range kinds {
		o.table(kind.name, each[k])
	}
	o.table("all", all)
	p99 := quantile(all, 0.99)
	return o.limit(p99 <= time.Second, "p99 of %.0f ms until a file is right again (at most 1,000)", ms(p99))
}

// save changes one upstream of many in the config, again and again.
func save(ctx context.Context, o options) error {
	n, err := newNode(o, "save")
	if err != nil {
		return err
	}
	defer n.close()
	if err := n.save(large(o.files, -1, 0, `{mode: "off"}`)); err != nil {
		return err
	}
	if err := n.start(ctx); err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(o.seed, 1))
	var samples []time.Duration
	for g := 1; g <= o.saves; g++ {
		i := rnd.IntN(o.files)
		// In the order of the last change, so that one upstream changes and the one before changes
		// back: two files.
		config := large(o.files, i, g, `{mode: "off"}`)
		begin := time.Now()
		if err := n.save(config); err != nil {
			return err
		}
		if err := n.until(ctx, g, i); err != nil {
			return err
		}
		samples = append(samples, time.Since(begin))
		time.Sleep(200*time.Millisecond + time.Duration(rnd.Int64N(int64(200*time.Millisecond))))
	}
	if _, err := n.stop(); err != nil {
		return err
	}
	fmt.Fprintf(o.out, "\n| from the saved config to hosts.toml | saves | median | p99 | longest |\n|---|---:|---:|---:|---:|\n")
	o.table(fmt.Sprintf("%d upstreams, one changed", o.files), samples)
	p99 := quantile(samples, 0.99)
	return o.limit(p99 <= 200*time.Millisecond, "p99 of %.0f ms from the saved config to hosts.toml (at most 200)", ms(p99))
}
