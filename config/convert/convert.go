// Package convert turns the registry settings of RKE, of k3s and RKE2, of Rancher, of Docker, and
// of containerd's own config.toml and certs.d into a RegistryConfig.
//
// Promises: [config.Parse] accepts the result unchanged, if the certificate files that it names
// exist on the node. The same images come from the same hosts in the same order. A comment in the
// result explains every difference in behaviour, and [Result.Lost] lists every setting that could
// not be carried over. A secret appears only in [Result.YAML], never in an error, a comment or a
// loss. The package reads only what it is given and writes nothing.
//
// Start reading at [Convert]. Package source reads the input; rke, tables and certsd hold the
// formats; draft is the RegistryConfig that they fill, and its text.
package convert

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/config/convert/certsd"
	"github.com/berth-registry/berth/config/convert/draft"
	"github.com/berth-registry/berth/config/convert/rke"
	"github.com/berth-registry/berth/config/convert/source"
	"github.com/berth-registry/berth/config/convert/tables"
)

// Format is a format of the input.
type Format = draft.Format

// The formats that [Convert] reads.
const (
	RKE        = draft.RKE
	K3s        = draft.K3s
	Containerd = draft.Containerd
	Rancher    = draft.Rancher
	Docker     = draft.Docker
	CertsD     = draft.CertsD
)

// Formats lists the formats that [Convert] reads.
func Formats() []Format { return draft.Formats() }

// Loss is a setting of the input that has no counterpart in the result.
type Loss = source.Loss

// MaxInput is the largest input in bytes.
const MaxInput = 4 << 20

// maxOutput is the largest file that [config.Parse] accepts, in bytes.
const maxOutput = 1 << 20

// DefaultSecretsDir is the directory that the comments propose for secrets.
const DefaultSecretsDir = "/etc/berth/secrets"

// Options are the options of [Convert]. The zero value is valid.
type Options struct {
	// SecretsDir is the directory that the comments propose for secrets; "" means
	// [DefaultSecretsDir]. Convert does not write there.
	SecretsDir string
}

// Result is a converted file.
type Result struct {
	// YAML is a RegistryConfig that contains the secrets: a file with it must have mode 0600.
	YAML []byte
	// Lost lists the settings that could not be carried over, in the order of the input.
	Lost []Loss
}

// Convert converts data, in the given format (see [Guess]), into an equivalent RegistryConfig. name
// appears in errors and in the first comment ("-" means standard input). For [CertsD] it is the
// path of the hosts.toml, whose directory has the name of the registry. The same input always gives
// the same bytes.
//
// An input that cannot be read gives a [config.Errors] with the position of each mistake. A
// readable setting without a counterpart is a [Loss] and not an error.
func Convert(from Format, name string, data []byte, opts Options) (Result, error) {
	d := newDraft(from, name, opts)
	in := d.In
	var read func(*source.Input, []byte) *source.Value
	var fill func(*draft.Draft, source.Cursor)
	switch from {
	case RKE:
		read, fill = source.YAML(rke.Fields()), rke.Read
	case K3s:
		read, fill = source.YAML(nil), tables.K3s
	case Containerd:
		in.TOML, read, fill = true, source.TOML, tables.Containerd
	case Rancher:
		read, fill = source.YAML(tables.RancherFields()), tables.Rancher
	case Docker:
		read, fill = source.JSON, certsd.DockerDaemon
	case CertsD:
		in.TOML, read, fill = true, source.TOML, certsd.HostsFile(name, data)
	default:
		return Result{}, fmt.Errorf("format %q: not known; use %s", string(from),
			draft.FormatList())
	}
	if len(data) > MaxInput {
		in.FailAt(0, 0, "", fmt.Sprintf(
			"is larger than %d MiB; pass only the part with the registries", MaxInput>>20))
		return Result{}, in.Err()
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if other, ok := guess(data); ok && other != from {
		in.FailAt(0, 0, "", fmt.Sprintf("is a file of another kind; use --from %s", other))
		return Result{}, in.Err()
	}
	root := read(in, data)
	if len(in.Errors) == 0 {
		fill(d, source.Cursor{In: in, Value: root})
	}
	return result(d)
}

// Directory is [Convert] of a directory: Docker's with daemon.json and certs.d, or
// containerd's certs.d. name is its path, below which the result names certificates. Only regular
// files of tree are opened.
func Directory(from Format, name string, tree fs.FS, opts Options) (Result, error) {
	d := newDraft(from, name, opts)
	switch from {
	case Docker:
		certsd.DockerDirectory(d, name, tree)
	case CertsD:
		certsd.Directory(d, name, tree)
	default:
		d.In.FailAt(0, 0, "", "is a directory; name a file in it, or use --from docker or certs.d")
	}
	return result(d)
}

func newDraft(from Format, name string, opts Options) *draft.Draft {
	if name == "-" || name == "" {
		name = "standard input"
	}
	return &draft.Draft{
		In: &source.Input{Name: source.OneLine(name)}, Format: from,
		SecretsDir: cmp.Or(opts.SecretsDir, DefaultSecretsDir),
	}
}

// result completes the draft and renders it.
func result(d *draft.Draft) (Result, error) {
	in := d.In
	if err := in.Err(); err != nil {
		return Result{}, err
	}
	d.Finish()
	slices.SortStableFunc(d.Lost, func(a, b Loss) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column))
	})
	if (d.Format == Docker || d.Format == CertsD) && len(d.Mirrors)+len(d.Registries) == 0 {
		for _, l := range d.Lost {
			in.Errors = append(in.Errors, &config.Error{File: path.Join(in.Name, l.File),
				Line: l.Line, Column: l.Column, Field: l.Field, Message: l.What + "; " + l.Effect})
		}
		d.RefuseEmpty("needs no settings for registries")
		return Result{}, in.Err()
	}
	out, err := d.Render()
	if err != nil {
		return Result{}, fmt.Errorf("%s: writing the result: %w", in.Name, err)
	}
	if len(out) > maxOutput {
		in.FailAt(0, 0, "", fmt.Sprintf("the result would be larger than the %d MiB that a "+
			"RegistryConfig may have; convert it in parts", maxOutput>>20))
		return Result{}, in.Err()
	}
	return Result{YAML: out, Lost: d.Lost}, nil
}
