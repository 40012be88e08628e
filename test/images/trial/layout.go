package trial

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/berth-registry/berth/test/images/real"
)

// Layout copies to a directory, is killed at this many random moments, and copies the final
// directory to an empty registry, without the source.
func (b *Fixture) Layout(ctx context.Context, kills int) (res Result, err error) {
	rnd := rand.New(rand.NewPCG(b.Seed, 4))
	dir := filepath.Join(b.Dir, "layout")
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	begin := time.Now()
	if _, err := b.copy(ctx, "oci:"+dir); err != nil {
		return res, err
	}
	whole := time.Since(begin)
	for res.Kills < kills {
		if err := os.RemoveAll(dir); err != nil {
			return res, err
		}
		for killed := true; killed; {
			var after time.Duration
			if res.Kills < kills {
				after = 1 + time.Duration(rnd.Int64N(int64(whole>>rnd.IntN(3))))
			}
			if killed, err = b.copyFor(ctx, "oci:"+dir, after); err != nil {
				return res, err
			}
			if killed {
				res.Kills++
			}
		}
	}
	last, err := b.copy(ctx, "oci:"+dir)
	if err != nil {
		return res, err
	}
	if !b.allThere(last) {
		res.Wrong = append(res.Wrong, "a run after the last says: "+last)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*/*/.partial*"))
	if err != nil {
		return res, err
	}
	res.Wrong = append(res.Wrong, left...)
	different, err := b.Unload(ctx, dir)
	res.Wrong = append(res.Wrong, different...)
	return res, err
}

// Unload copies a directory to an empty registry, and compares.
func (b *Fixture) Unload(ctx context.Context, dir string) (different []string, err error) {
	target, err := real.Start(ctx, b.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if _, err := finish(b.From(ctx, "oci:"+dir, target.Addr())); err != nil {
		return nil, err
	}
	return target.Differences(ctx, b.Set)
}

// copyFor runs a copy and kills it after a while, 0 for never.
func (b *Fixture) copyFor(ctx context.Context, to string, after time.Duration) (killed bool, err error) {
	limited := ctx
	if after > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, after) // SIGKILL
		defer cancel()
	}
	_, err = b.copy(limited, to)
	if signaled(ctx, err) || limited.Err() != nil && errors.Is(err, limited.Err()) {
		return true, nil
	}
	return false, err
}
