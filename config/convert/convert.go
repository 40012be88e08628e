// Package convert turns the registry settings of RKE, of k3s and RKE2, and of
// containerd's own config.toml into a RegistryConfig.
//
// What it promises: [config.Parse] accepts the result as it is (provided that
// the certificate files it names are on the node), the same images come from
// the same hosts in the same order, a comment stands wherever Berth behaves
// differently, and what cannot be carried over is listed in [Result.Lost]
// rather than dropped. It reads nothing but the bytes it is given and writes
// nothing. A secret appears in [Result.YAML], which is where it has to be, and
// in no error, comment or loss.
//
// Start reading at [Convert]; rke.go, k3s.go and containerd.go hold one format
// each, draft.go what they have in common, render.go the output.
package convert

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/berth-registry/berth/config"
)

// Format is a kind of input.
type Format string

// The formats.
const (
	RKE        Format = "rke"        // cluster.yml of RKE 1
	K3s        Format = "k3s"        // registries.yaml of k3s and RKE2
	Containerd Format = "containerd" // config.toml with registry.mirrors, configs or auths
	Rancher    Format = "rancher"    // a Cluster of provisioning.cattle.io/v1
)

// Formats lists what [Convert] reads.
func Formats() []Format { return []Format{RKE, K3s, Containerd, Rancher} }

// MaxInput is the largest input in bytes.
const MaxInput = 4 << 20

// maxOutput is the largest file that [config.Parse] takes, in bytes.
const maxOutput = 1 << 20

// DefaultSecretsDir is where the comments propose to move secrets to.
const DefaultSecretsDir = "/etc/berth/secrets"

// Options of [Convert]. The zero value is ready for use.
type Options struct {
	// SecretsDir is the directory that the comments propose for secrets,
	// [DefaultSecretsDir] when empty. Nothing is written there.
	SecretsDir string
}

// Result is a converted file.
type Result struct {
	// YAML is a RegistryConfig with the secrets in it: a file that holds it
	// must have mode 0600.
	YAML []byte
	// Lost is what could not be carried over, in the order of the input.
	Lost []Loss
}

// Loss is a part of the input that has no counterpart in the result.
type Loss struct {
	Line, Column int    // in the input, from 1
	Field        string // path of the field: mirrors["docker.io"].rewrite
	What         string // what is missing, and why
	Effect       string // what that means for the images, or what to do about it
}

// String gives line:column: field: what; effect.
func (l Loss) String() string {
	return fmt.Sprintf("%d:%d: %s: %s; %s", l.Line, l.Column, l.Field, l.What, l.Effect)
}

// Convert reads data, which is in the given format ([Guess] finds it), and gives
// the RegistryConfig that does the same. name stands in errors and in the first comment ("-" for
// standard input). The same input always gives the same bytes.
//
// An input that cannot be read gives a [config.Errors] with the place of each
// mistake; a setting that can be read and has no counterpart is a [Loss] and no
// error.
func Convert(from Format, name string, data []byte, opts Options) (Result, error) {
	if name == "-" || name == "" {
		name = "standard input"
	}
	in := &input{name: oneLine(name)}
	d := &draft{in: in, format: from, secretsDir: cmp.Or(opts.SecretsDir, DefaultSecretsDir)}
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
	if err := in.err(); err != nil {
		return Result{}, err
	}
	d.finish()
	slices.SortStableFunc(d.lost, func(a, b Loss) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
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

// formatList lists the formats for a message.
func formatList() string {
	var names []string
	for _, f := range Formats() {
		names = append(names, string(f))
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// input collects the mistakes of one file.
type input struct {
	name   string
	toml   bool // field paths are written as TOML does
	errors config.Errors
}

// maxErrors is how many mistakes are reported; a file of another kind would
// otherwise give one for each of its lines.
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

// shown makes a piece of the input fit for a comment, an error or a field path:
// what precedes an "@" may be a login and is left out, and the rest is cut when
// it is long.
func shown(s string) string {
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		s = "[redacted]" + s[at:]
	}
	if runes := []rune(s); len(runes) > maxShown {
		s = string(runes[:maxShown]) + "…"
	}
	return s
}

// maxShown is how many characters of a value are repeated.
const maxShown = 120

// oneLine keeps a file name from breaking out of its comment or error.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfffd || r == 0xfeff {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
