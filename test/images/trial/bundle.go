package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/berth-registry/berth/test/images/real"
)

// Bundle copies to a file, is killed at this many random moments, and compares the final file with
// the one of a copy that was not killed. Then it copies the file to a registry, without the source,
// and is killed as often.
func (b *Fixture) Bundle(ctx context.Context, kills int, progress func(string)) (res Result, err error) {
	rnd := rand.New(rand.NewPCG(b.Seed, 6))
	whole, file := filepath.Join(b.Dir, "whole.tar.zst"), filepath.Join(b.Dir, "killed.tar.zst")
	defer func() { err = errors.Join(err, os.RemoveAll(whole), os.RemoveAll(file)) }()
	begin := time.Now()
	if _, err := b.copy(ctx, whole); err != nil {
		return res, err
	}
	took := time.Since(begin)
	for res.Kills < kills {
		if err := os.RemoveAll(file); err != nil {
			return res, err
		}
		for killed, fresh := true, true; killed; fresh = false {
			var after time.Duration
			if res.Kills < kills {
				after = took/2 + time.Duration(rnd.Int64N(int64(took/2))) // the manifests are read first
			}
			begin := time.Now()
			if killed, err = b.copyFor(ctx, file, after); err != nil {
				return res, err
			}
			if killed {
				res.Kills++
			} else if fresh {
				took = min(took, time.Since(begin)) // the machine is faster now
			}
		}
		different, err := differ(whole, file)
		if err != nil {
			return res, err
		}
		if different {
			res.Wrong = append(res.Wrong, "the file of a copy that was killed has other bytes")
		}
		progress(fmt.Sprintf("%d of %d kills of a copy to a file", res.Kills, kills))
	}
	last, err := b.copy(ctx, file)
	if err != nil {
		return res, err
	}
	if !b.allThere(last) {
		res.Wrong = append(res.Wrong, "a run after the last says: "+last)
	}
	left, err := filepath.Glob(file + "*.partial")
	if err != nil {
		return res, err
	}
	res.Wrong = append(res.Wrong, left...)
	out := *b
	out.from = file
	from, err := out.Killed(ctx, kills, progress)
	res.Wrong = append(res.Wrong, from.Wrong...)
	res.Kills, res.Requests, res.Sent = res.Kills+from.Kills, from.Requests, from.Sent
	return res, err
}

// differ reports whether two files have different bytes.
func differ(a, b string) (bool, error) {
	first, err := os.ReadFile(a)
	if err != nil {
		return false, err
	}
	second, err := os.ReadFile(b)
	return !bytes.Equal(first, second), err
}

// bundleControls damages a file, and returns what was not noticed.
func (b *Fixture) bundleControls(ctx context.Context) (unnoticed []string, err error) {
	whole, file := filepath.Join(b.Dir, "whole.tar"), filepath.Join(b.Dir, "damaged.tar")
	defer func() { err = errors.Join(err, os.RemoveAll(whole), os.RemoveAll(file)) }()
	if _, err := b.copy(ctx, whole); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(whole)
	if err != nil {
		return nil, err
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return nil, err
	}
	if different, err := differ(whole, file); err != nil || !different {
		unnoticed = append(unnoticed, fmt.Sprintf("a file with another byte: %v", err))
	}
	target, err := real.Start(ctx, b.Dir)
	if err != nil {
		return unnoticed, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if _, err := finish(b.From(ctx, file, target.Addr())); err == nil {
		unnoticed = append(unnoticed, "a copy from a file with another byte")
	}
	return unnoticed, nil
}
