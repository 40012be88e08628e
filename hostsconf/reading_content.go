package hostsconf

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/berth-registry/berth/internal/managedfile/record"
	"github.com/berth-registry/berth/internal/tomldoc"
)

// Content is what containerd reads in the content of a hosts.toml.
type Content struct {
	// Hosts are those of the newest releases, in order. The last one is the registry itself if no
	// server is named; for [Default] its Host is then "_default". Certificates are stand-ins.
	Hosts []docker.RegistryHost
	// Ignored is the reason why the newest releases ignore the file; nil if they use it.
	Ignored error
	// Differences describes how releases differ, as [Differences] does.
	Differences string
}

// ReadContent reads the content of a hosts.toml for images of upstream as every family does. It
// opens none of the files that content names. The error is one that fails the pull.
func ReadContent(upstream string, content []byte) (Content, error) {
	registry := upstream
	if upstream == Default {
		registry = defaultDir
	}
	stage, remove, err := newStage("")
	if err != nil {
		return Content{}, err
	}
	defer remove()
	pem, err := standIn()
	if err != nil {
		return Content{}, err
	}
	copied := &memory{}
	defer copied.release()
	dir, certificate := filepath.Join(stage, defaultDir), filepath.Join(stage, "certificate.pem")
	content, ok := withCertificate(content, tomldoc.Quote(certificate))
	if !ok {
		return Content{Ignored: errors.New("it is not valid TOML")}, nil
	}
	if err := errors.Join(copied.put(certificate, pem), copied.put(filepath.Join(dir, fileName), content)); err != nil {
		return Content{}, err
	}
	read := Content{}
	outcomes := make([]string, len(families))
	for _, f := range Families() {
		hosts, err := f.read(dir, registry, nil)
		r := Resolution{Registry: registry, Hosts: resolved(hosts)}
		if skipped := (*skippedError)(nil); errors.As(err, &skipped) {
			r.Ignored, err = skipped.cause, nil
		}
		outcomes[f] = r.outcome(err)
		if f == Newest {
			if err != nil {
				return Content{}, err
			}
			read.Hosts, read.Ignored = hosts, r.Ignored
		}
	}
	read.Differences = joinOutcomes(outcomes)
	return read, nil
}

// withCertificate replaces every file name below ca and client by certificate, a TOML string. ok is
// false if content is not TOML.
func withCertificate(content []byte, certificate string) (replaced []byte, ok bool) {
	tokens, ok := tokensOf(content)
	var out bytes.Buffer
	at := 0
	for _, t := range tokens {
		keys := t.path
		if len(keys) > 2 && strings.EqualFold(keys[0], "host") {
			keys = keys[2:]
		}
		named := slices.ContainsFunc([]string{"ca", "client"}, func(key string) bool { return strings.EqualFold(key, keys[0]) })
		if !t.value || t.boolean || !named || !bytes.ContainsAny(content[t.start:t.start+1], `"'`) {
			continue
		}
		out.Write(content[at:t.start])
		out.WriteString(certificate)
		at = t.end
	}
	out.Write(content[at:])
	return out.Bytes(), ok
}

// WrittenByBerth reports whether content is a file of Berth's, edited or not.
func WrittenByBerth(content []byte) bool { return record.HasMarker(content) }
