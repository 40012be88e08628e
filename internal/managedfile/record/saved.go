package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/nodefs"
)

// SavedDir is the directory of the copies, in the state directory.
const SavedDir = "saved"

// MaxContent is the largest file that is read or copied, in bytes.
const MaxContent = 4 << 20

// Why is the reason for a copy.
type Why string

// The reasons for a copy.
const (
	SavedEdit     Why = "edited"   // an edit of Berth's file, or a former original
	SavedOriginal Why = "original" // restored when Berth's file is removed
	SavedRecord   Why = "corrupt"  // state.json itself, which could not be read
)

// Copy describes a copy. It is stored beside the copy as <name>.json, so that an original can
// be restored even if the record is lost.
type Copy struct {
	Path     string    `json:"path"`
	Why      Why       `json:"why"`
	Saved    time.Time `json:"saved"`
	Scope    string    `json:"scope"`
	ScopeDir string    `json:"scopeDir,omitempty"`
	Original
}

// SavedName depends on the path and the content, so that a recurring edit is kept once.
func SavedName(hostPath string, e nodefs.Entry) string {
	name := strings.Map(func(r rune) rune {
		if r == '/' || r <= ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, strings.Trim(hostPath, "/"))
	name = strings.TrimLeft(name, ".")
	const longest = 180 // of the 255 bytes of a name; the end is more specific
	if len(name) > longest {
		name = strings.ToValidUTF8(name[len(name)-longest:], "")
	}
	return name + "." + Hash(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s", hostPath, e.Kind, e.Target, e.Content))[:16]
}

// Keep copies e from hostPath, in a directory described by parent, and returns its entry for the
// record. fresh reports that this content was not yet kept.
func (k *Archive) Keep(hostPath, scope, scopeDir string, why Why, e nodefs.Entry, parent *nodefs.Meta) (o *Original, fresh bool, err error) {
	name := SavedName(hostPath, e)
	o = &Original{Kind: e.Kind, Target: e.Target, Meta: e.Meta, Copy: name, Dir: parent}
	content := e.Content
	if e.Kind == nodefs.Symlink {
		content = []byte(e.Target)
	} else {
		o.SHA = Hash(e.Content)
	}
	old, err := k.Describe(name)
	switch {
	case err == nil && (why == SavedEdit || old.Why == why && old.Meta == e.Meta):
		return o, false, nil
	case err == nil: // kept as an edit before: the content is stored
	case !errors.Is(err, fs.ErrNotExist):
		return nil, false, err
	default:
		fresh = true
		if err := k.Replace(k.Copies, name, content); err != nil {
			return nil, false, err
		}
	}
	d := Copy{Path: hostPath, Why: why, Saved: k.now().UTC(), Scope: scope, ScopeDir: scopeDir, Original: *o}
	return o, fresh, k.describeAs(name, d)
}

// Describe returns the description of a copy. A missing one is [fs.ErrNotExist].
func (k *Archive) Describe(name string) (Copy, error) {
	var d Copy
	e, err := k.Copies.Look(name+".json", MaxContent)
	if err != nil {
		return d, err
	}
	if e.Kind != nodefs.Regular {
		return d, fs.ErrNotExist
	}
	if err := json.Unmarshal(e.Content, &d); err != nil {
		return d, fmt.Errorf("%s: %w", k.Copies.Join(name+".json"), err)
	}
	return d, nil
}

func (k *Archive) describeAs(name string, d Copy) error {
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return k.Replace(k.Copies, name+".json", append(b, '\n'))
}

// Read returns the content of a copy. A damaged copy is an error.
func (k *Archive) Read(o *Original) (nodefs.Source, error) {
	src := nodefs.Source{Kind: o.Kind, Target: o.Target, Meta: o.Meta}
	if o.Kind == nodefs.Symlink {
		return src, nil
	}
	e, err := k.Copies.Look(o.Copy, MaxContent)
	if err != nil {
		return src, err
	}
	if e.Kind != nodefs.Regular || Hash(e.Content) != o.SHA {
		return src, fmt.Errorf("%s: the copy of the original is missing or damaged", k.Copies.Join(o.Copy))
	}
	src.Content = e.Content
	return src, nil
}

// Demote marks an original as not to be restored, because another program has put another file in
// its place.
func (k *Archive) Demote(o *Original) error {
	d, err := k.Describe(o.Copy)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || d.Why != SavedOriginal {
		return err
	}
	d.Why = SavedEdit
	return k.describeAs(o.Copy, d)
}

// Drop removes a copy that has been restored. The description goes first: without the content it
// would promise a restore.
func (k *Archive) Drop(o *Original) error {
	for _, name := range []string{o.Copy + ".json", o.Copy} {
		if err := k.Copies.Unlink(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// All describes every copy, in name order.
func (k *Archive) All() ([]Copy, error) {
	entries, err := k.Copies.List()
	if err != nil {
		return nil, err
	}
	var all []Copy
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || !e.Type().IsRegular() {
			continue
		}
		d, err := k.Describe(name)
		if err != nil || nodefs.CheckPath(d.Path) != nil {
			continue // not a copy by Berth
		}
		d.Copy = name
		all = append(all, d)
	}
	return all, nil
}

// RecoverOriginals fills an empty record from the copies: the paths whose original has not been
// restored.
func RecoverOriginals(top *nodefs.Dir, st *State) error {
	saved, err := top.Open(SavedDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer saved.Close()
	k := &Archive{Top: top, Copies: saved}
	all, err := k.All()
	if err != nil {
		return err
	}
	newest := map[string]time.Time{}
	for _, d := range all {
		if d.Why != SavedOriginal || d.Saved.Before(newest[d.Path]) {
			continue
		}
		newest[d.Path] = d.Saved
		o := d.Original
		st.Files[d.Path] = &Entry{Scope: d.Scope, Original: &o}
		if d.ScopeDir == "" || nodefs.CheckPath(d.ScopeDir) == nil {
			st.AddTop(d.Scope, d.ScopeDir)
		}
	}
	return nil
}
