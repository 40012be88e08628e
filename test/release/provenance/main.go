// Command provenance prints the in-toto statement of a release with the predicate SLSA provenance v1:
// the files on stdin, in the format of sha256sum, were built from a commit by make release. Each
// subject is in a line of its own, so that a reader needs no JSON tool. Equal input gives equal bytes:
// no time, no machine.
//
//	sha256sum FILE... | provenance VERSION COMMIT SOURCE_DATE_EPOCH
//
// An empty COMMIT means that the checkout had changes: no commit is the source.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
)

// The formats: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and
// https://slsa.dev/spec/v1.0/provenance
const (
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://slsa.dev/provenance/v1"

	source = "https://github.com/berth-registry/berth"
	// page explains the parameters, and who a builder is.
	page = source + "/blob/main/docs/verify.md"
)

type subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

type dependency struct {
	URI    string            `json:"uri"`
	Digest map[string]string `json:"digest,omitempty"`
}

type predicate struct {
	BuildDefinition struct {
		BuildType            string            `json:"buildType"`
		ExternalParameters   map[string]string `json:"externalParameters"`
		InternalParameters   map[string]string `json:"internalParameters"`
		ResolvedDependencies []dependency      `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
	} `json:"runDetails"`
}

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "provenance:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 3 {
		return errors.New("usage: provenance VERSION COMMIT SOURCE_DATE_EPOCH")
	}
	subjects, err := read(in)
	if err != nil {
		return err
	}
	var p predicate
	d := &p.BuildDefinition
	d.BuildType = page + "#provenance"
	d.ExternalParameters = map[string]string{"command": "make release", "VERSION": args[0]}
	d.InternalParameters = map[string]string{"SOURCE_DATE_EPOCH": args[2], "go": runtime.Version()}
	from := dependency{URI: "git+" + source}
	if commit := args[1]; commit != "" {
		from.Digest = map[string]string{"gitCommit": commit}
	}
	d.ResolvedDependencies = []dependency{from}
	p.RunDetails.Builder.ID = page + "#the-builder"
	return write(out, subjects, p)
}

var line = regexp.MustCompile(`^([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._~+-]*)$`)

func read(in io.Reader) (all []subject, err error) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		m := line.FindStringSubmatch(lines.Text())
		if m == nil {
			return nil, fmt.Errorf("%q: not a line of sha256sum with a plain file name", lines.Text())
		}
		all = append(all, subject{m[2], map[string]string{"sha256": m[1]}})
	}
	if len(all) == 0 {
		err = errors.New("no file on stdin; pipe the output of sha256sum into it")
	}
	return all, errors.Join(err, lines.Err())
}

func write(out io.Writer, subjects []subject, p predicate) error {
	var b strings.Builder
	fmt.Fprintf(&b, "{\n\"_type\": %q,\n\"subject\": [\n", statementType)
	for i, s := range subjects {
		text, err := json.Marshal(s)
		if err != nil {
			return err
		}
		b.Write(text)
		if i < len(subjects)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	fmt.Fprintf(&b, "],\n\"predicateType\": %q,\n\"predicate\": %s\n}\n", predicateType, text)
	_, err = io.WriteString(out, b.String())
	return err
}
