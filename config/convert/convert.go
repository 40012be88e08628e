// Package convert turns the registry settings of RKE, of k3s and RKE2, of Rancher, of Docker, and of
// containerd's own config.toml and certs.d into a RegistryConfig.
//
// Promises: [config.Parse] accepts the result unchanged, if the certificate files that it names
// exist on the node. The same images come from the same hosts in the same order. A comment in the
// result explains every difference in behaviour, and [Result.Lost] lists every setting that could
// not be carried over. A secret appears only in [Result.YAML], never in an error, a comment or a
// loss. The package reads only what it is given and writes nothing.
//
// Start reading at [Convert]. rke.go, k3s.go, rancher.go, containerd.go, docker.go and certsd.go hold
// one format each, draft.go the parts that they share, render.go the output.
package convert

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/berth-registry/berth/config"
)

// Format is a format of the input.
type Format string

// The formats that [Convert] reads.
const (
	RKE        Format = "rke"        // cluster.yml of RKE 1
	K3s        Format = "k3s"        // registries.yaml of k3s and RKE2
	Containerd Format = "containerd" // config.toml with registry.mirrors, configs or auths
	Rancher    Format = "rancher"    // a Cluster of provisioning.cattle.io/v1
	Docker     Format = "docker"     // daemon.json of dockerd, or the directory with it and certs.d
	CertsD     Format = "certs.d"    // a directory of containerd's hosts.toml files, or one of them
)

// Formats lists the formats that [Convert] reads.
func Formats() []Format { return []Format{RKE, K3s, Containerd, Rancher, Docker, CertsD} }

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

// Loss is a setting of the input that has no counterpart in the result.
type Loss struct {
	File         string // of an input that is a directory; else ""
	Line, Column int    // in the input, from 1; 0 for a file as a whole
	Field        string // path of the field: mirrors["docker.io"].rewrite
	What         string // the missing setting, and the reason
	Effect       string // the effect on images, or the remedy
}

// String returns file:line:column: field: what; effect. Parts that a loss does not have are left
// out.
func (l Loss) String() string {
	at := ""
	if l.File != "" {
		at = l.File + ":"
	}
	if l.Line > 0 {
		at += fmt.Sprintf("%d:%d:", l.Line, l.Column)
	}
	if l.Field != "" {
		at += " " + l.Field + ":"
	}
	return strings.TrimPrefix(at+" "+l.What+"; "+l.Effect, " ")
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
	in := d.in
	var read func(*input, []byte) *value
	var fill func(*draft, cursor)
	switch from {
	case RKE:
		read, fill = readYAML(rkeFields()), fromRKE
	case K3s:
		read, fill = readYAML(nil), fromK3s
	case Containerd:
		in.toml, read, fill = true, readTOML, fromContainerd
	case Rancher:
		read, fill = readYAML(rancherFields()), fromRancher
	case Docker:
		read, fill = readJSON, fromDocker
	case CertsD:
		in.toml, read, fill = true, readTOML, fromHostsFile(name, data)
	default:
		return Result{}, fmt.Errorf("format %q: not known; use %s", string(from), formatList())
	}
	if len(data) > MaxInput {
		in.failAt(0, 0, "", fmt.Sprintf("is larger than %d MiB; pass only the part with the registries", MaxInput>>20))
		return Result{}, in.err()
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if other, ok := guess(data); ok && other != from {
		in.failAt(0, 0, "", fmt.Sprintf("is a file of another kind; use --from %s", other))
		return Result{}, in.err()
	}
	root := read(in, data)
	if len(in.errors) == 0 {
		fill(d, cursor{in: in, v: root})
	}
	return d.result()
}

// Directory is [Convert] of a directory: Docker's with daemon.json and certs.d, or
// containerd's certs.d. name is its path, below which the result names certificates. Only regular
// files of tree are opened.
func Directory(from Format, name string, tree fs.FS, opts Options) (Result, error) {
	d := newDraft(from, name, opts)
	switch from {
	case Docker:
		d.dockerDirectory(name, tree)
	case CertsD:
		d.certsDirectory(name, tree)
	default:
		d.in.failAt(0, 0, "", "is a directory; name a file in it, or use --from docker or certs.d")
	}
	return d.result()
}

func newDraft(from Format, name string, opts Options) *draft {
	if name == "-" || name == "" {
		name = "standard input"
	}
	return &draft{in: &input{name: oneLine(name)}, format: from, secretsDir: cmp.Or(opts.SecretsDir, DefaultSecretsDir)}
}

// result completes the draft and renders it.
func (d *draft) result() (Result, error) {
	in := d.in
	if err := in.err(); err != nil {
		return Result{}, err
	}
	d.finish()
	slices.SortStableFunc(d.lost, func(a, b Loss) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if (d.format == Docker || d.format == CertsD) && len(d.mirrors)+len(d.registries) == 0 {
		for _, l := range d.lost {
			in.errors = append(in.errors, &config.Error{File: path.Join(in.name, l.File), Line: l.Line, Column: l.Column, Field: l.Field, Message: l.What + "; " + l.Effect})
		}
		d.refuseEmpty("needs no settings for registries")
		return Result{}, in.err()
	}
	out, err := d.render()
	if err != nil {
		return Result{}, fmt.Errorf("%s: writing the result: %w", in.name, err)
	}
	if len(out) > maxOutput {
		in.failAt(0, 0, "", fmt.Sprintf("the result would be larger than the %d MiB that a RegistryConfig may have; convert it in parts", maxOutput>>20))
		return Result{}, in.err()
	}
	return Result{YAML: out, Lost: d.lost}, nil
}

// formatList lists the formats, for messages.
func formatList() string {
	var names []string
	for _, f := range Formats() {
		names = append(names, string(f))
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// input collects the mistakes of one input.
type input struct {
	name   string
	file   string // in messages about one file of a directory
	toml   bool   // field paths are written in TOML notation
	errors config.Errors
}

// maxErrors limits the reported mistakes; a file of another kind could give one for each line.
const maxErrors = 50

func (in *input) failAt(line, column int, field, message string) {
	if len(in.errors) < maxErrors {
		in.errors = append(in.errors, &config.Error{File: in.name, Line: line, Column: column, Field: field, Message: message})
	}
}

func (in *input) err() error {
	if len(in.errors) == 0 {
		return nil
	}
	slices.SortStableFunc(in.errors, func(a, b *config.Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return in.errors
}

// shown shortens a piece of the input for a comment, an error or a field path. Text before an "@"
// may be a login and is replaced.
func shown(s string) string {
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		s = "[redacted]" + s[at:]
	}
	if runes := []rune(s); len(runes) > maxShown {
		s = string(runes[:maxShown]) + "…"
	}
	return s
}

// maxShown is the largest number of characters of a value that a message repeats.
const maxShown = 120

// oneLine replaces characters that could end the line of a comment or error.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfffd || r == 0xfeff {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
