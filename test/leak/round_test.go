package leak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/node/reconcile"
	"github.com/berth-registry/berth/test/fakes/fakeaws"
)

// round is one node: a config as it was drawn, the files that Berth wrote for
// it, and the images that are pulled.
type round struct {
	id   string
	root string
	file string // the RegistryConfig

	logins     []login
	secrets    []secret
	plainHosts map[string]bool // hosts that a credential may reach over plain http
	ecrNames   map[string]ecrRegistry
	ownKeys    map[ecrRegistry]string     // registries with credentials of their own: the key's id
	mirrored   map[string][]string        // upstream → hosts of its endpoints
	realms     map[string]map[string]bool // registry → token servers that the config lists for it
	foreign    int                        // foreign directories
	linked     []string                   // those of them that are links, or hold one
	images     []image

	certsDir string
	// beyond is what the node has outside of the directories that are
	// mounted for Berth.
	beyond string
	// output is all of Berth's output: errors, logs, plans.
	output bytes.Buffer
}

// image is what a pod asks for.
type image struct {
	name string // without tag
	ref  string // as containerd gets it
	// bare images are pulled without kubelet's credential, as the sandbox
	// image is.
	bare bool
}

// errRefused says that Berth refused the config as one that would send a
// credential over plain http: nothing can leak, so another one is drawn.
var errRefused = errors.New("refused config")

// newRound draws a config, with what stands in certs.d before, and images for
// it. dir gets the config and the files that it names.
func newRound(rnd *rand.Rand, id, dir string, fake *fakeaws.Server, images int) (*round, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	r := &round{
		id: id, root: filepath.Join(dir, "node"), file: filepath.Join(dir, "config.yaml"), beyond: filepath.Join(dir, "beyond"),
		plainHosts: map[string]bool{}, ecrNames: map[string]ecrRegistry{}, ownKeys: map[ecrRegistry]string{}, mirrored: map[string][]string{}, realms: map[string]map[string]bool{},
	}
	r.certsDir = filepath.Join(r.root, "etc/containerd/certs.d")
	d := &generator{Rand: rnd, round: r, dir: dir}
	document := d.config(fake)
	b, err := json.Marshal(document) // JSON is YAML
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(r.file, b, 0o600); err != nil {
		return nil, err
	}
	if err := d.foreignFiles(); err != nil {
		return nil, err
	}
	for range images {
		r.images = append(r.images, d.image())
	}
	return r, nil
}

// list records that the config lists a token server for the registry of l.
func (r *round) list(l login, server string) {
	for _, host := range []string{l.host, strings.TrimSuffix(l.host, ":443")} {
		if host == "docker.io" {
			host = "registry-1.docker.io"
		}
		if r.realms[host] == nil {
			r.realms[host] = map[string]bool{}
		}
		r.realms[host][server] = true
	}
}

// apply does what `berth apply` does. With w it asks the registries there, as without --no-probe.
func (r *round) apply(ctx context.Context, w *network) error {
	cfg, warnings, err := config.Load(r.file)
	if err != nil {
		fmt.Fprintln(&r.output, err)
		if strings.Contains(err.Error(), "over plain http to another machine") {
			return errRefused
		}
		return err
	}
	for _, w := range warnings {
		fmt.Fprintln(&r.output, w)
	}
	m, err := reconcile.Open(r.root)
	if err != nil {
		return err
	}
	defer m.Close()
	log := slog.New(slog.NewJSONHandler(&r.output, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if w != nil {
		m.ProbeLogins = w.prober(log)
	}
	result, err := m.Apply(ctx, cfg, log)
	fmt.Fprintf(&r.output, "%+v\n%+v\n%v\n", result.Summary(), result.Plan.Notices, err)
	var noToken *reconcile.TokenError
	if err != nil && !errors.As(err, &noToken) {
		return err
	}
	return nil
}

// forget removes what apply has learned about registries.
func (r *round) forget() error {
	err := os.Remove(filepath.Join(r.root, reconcile.StateDir, reconcile.LearnedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no registry was asked
	}
	return err
}

// wideFiles lists files below the node that hold a secret and that others can
// read.
func wideFiles(root string) (wide []string, err error) {
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if path == root && errors.Is(err, fs.ErrNotExist) {
			return nil // Berth has written nothing
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 && shows(string(b)) {
			wide = append(wide, path)
		}
		return err
	})
	return wide, err
}
