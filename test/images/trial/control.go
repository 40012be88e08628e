package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-registry/berth/test/images/real"
)

// Controls runs the trials with the program naive in place of berth, and with damaged registries.
// It returns the faults that the trials did not find: there must be none.
func (b *Fixture) Controls(ctx context.Context, naive string) (unnoticed []string, err error) {
	bad := *b
	bad.Berth = naive
	want := func(res Result, trial string, parts ...string) {
		for _, part := range parts {
			if !strings.Contains(strings.Join(res.Wrong, "\n"), part) {
				unnoticed = append(unnoticed, fmt.Sprintf("%s: no word of %q", trial, part))
			}
		}
	}
	const again, content, missing = "sent though it was there", "content sent though the registry had it", ": missing: "
	res, err := bad.Exact(ctx)
	if err != nil {
		return nil, err
	}
	want(res, "a naive copy, twice", again, content, missing, "the second run sent: ", "the second run says: ")
	if res, err = bad.Killed(ctx, 2, func(string) {}); err != nil {
		return nil, err
	}
	want(res, "a naive copy that is killed", again, content, missing)
	res, err = bad.Failing(ctx, 0.1)
	if err == nil && len(res.Wrong) == 0 || res.Failures == 0 {
		unnoticed = append(unnoticed, "a naive copy to a registry that fails is said to be right")
	}
	more, err := b.damages(ctx)
	if err != nil {
		return nil, err
	}
	files, err := b.bundleControls(ctx)
	return slices.Concat(unnoticed, more, files), err
}

// damages damages a correct copy in several ways.
func (b *Fixture) damages(ctx context.Context) (unnoticed []string, err error) {
	target, err := real.Start(ctx, b.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if _, err := b.copy(ctx, target.Addr()); err != nil {
		return nil, err
	}
	before, err := target.Differences(ctx, b.Set)
	if err != nil {
		return nil, err
	}
	for _, d := range before {
		unnoticed = append(unnoticed, "in a copy that is right: "+d)
	}
	for _, damage := range []func(store string) error{b.flip, b.untag, b.tag} {
		if err := damage(target.Store()); err != nil {
			return nil, err
		}
	}
	after, err := target.Differences(ctx, b.Set)
	if err != nil {
		return nil, err
	}
	for what, noticed := range map[string]string{
		"a blob with another byte": " holds sha256:",
		"a tag that is missing":    ": missing: " + b.Set.Images[0].Tag,
		"a tag too many":           ": too much: " + anotherTag,
	} {
		if !strings.Contains(strings.Join(after, "\n"), noticed) {
			unnoticed = append(unnoticed, fmt.Sprintf("%s: found was %q", what, after))
		}
	}
	return unnoticed, nil
}

// anotherTag is a tag that no set has.
const anotherTag = "another"

// flip changes a byte of a blob in a store.
func (b *Fixture) flip(store string) error {
	for digest := range b.Set.Unique {
		hex := strings.TrimPrefix(digest, "sha256:")
		file := filepath.Join(store, "blobs/sha256", hex[:2], hex, "data")
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		raw[len(raw)/2] ^= 1
		return os.WriteFile(file, raw, 0o600)
	}
	return errors.New("the set has no blob")
}

// untag removes the tag of the first image.
func (b *Fixture) untag(store string) error {
	first := b.Set.Images[0]
	return os.RemoveAll(filepath.Join(store, "repositories", first.Repository, "_manifests/tags", first.Tag))
}

// tag gives the last image one more tag.
func (b *Fixture) tag(store string) error {
	last := b.Set.Images[len(b.Set.Images)-1]
	tags := filepath.Join(store, "repositories", last.Repository, "_manifests/tags")
	return os.CopyFS(filepath.Join(tags, anotherTag), os.DirFS(filepath.Join(tags, last.Tag)))
}
