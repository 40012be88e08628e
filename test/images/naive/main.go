// Naive copies images like a loop of pull, tag and push: everything, each time, without checking
// what exists, with one attempt, and without artifacts that belong to an image and are not part of
// it. It takes the arguments of berth images copy. The trials must find all of these faults.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/berth-registry/berth/test/images/sample"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "naive:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	value := func(flag string) string {
		if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
			return args[i+1]
		}
		return ""
	}
	list, err := os.ReadFile(value("--plain"))
	if err != nil {
		return err
	}
	for image := range strings.FieldsSeq(string(list)) {
		source, path, _ := strings.Cut(image, "/")
		repository, tag, ok := strings.Cut(path, ":")
		if !ok {
			return fmt.Errorf("%q: has no tag", image)
		}
		c := copier{from: "http://" + source + "/v2/" + repository, to: "http://" + value("--to") + "/v2/" + repository}
		if err := c.manifest(tag); err != nil {
			return fmt.Errorf("%s: %w", image, err)
		}
	}
	return nil
}

// copier copies one repository.
type copier struct{ from, to string }

type descriptor struct {
	Digest string `json:"digest"`
}

// manifest copies a manifest, and everything that it names.
func (c copier) manifest(ref string) error {
	raw, mediaType, err := get(c.from + "/manifests/" + ref)
	if err != nil {
		return err
	}
	var m struct {
		Config            *descriptor
		Layers, Manifests []descriptor
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	for _, d := range m.Manifests {
		if err := c.manifest(d.Digest); err != nil {
			return err
		}
	}
	if m.Config != nil {
		m.Layers = append(m.Layers, *m.Config)
	}
	for _, d := range m.Layers {
		if err := c.blob(d.Digest); err != nil {
			return err
		}
	}
	_, err = put(c.to+"/manifests/"+ref, mediaType, raw)
	return err
}

func (c copier) blob(digest string) error {
	raw, _, err := get(c.from + "/blobs/" + digest)
	if err != nil {
		return err
	}
	resp, err := do(http.MethodPost, c.to+"/blobs/uploads/", "", nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	location, err := resp.Location()
	if err != nil {
		return err
	}
	query := location.Query()
	query.Set("digest", digest)
	location.RawQuery = query.Encode()
	_, err = put(location.String(), "application/octet-stream", raw)
	return err
}

func get(url string) (raw []byte, mediaType string, err error) {
	resp, err := do(http.MethodGet, url, "", nil, http.StatusOK)
	if err != nil {
		return nil, "", err
	}
	raw, err = io.ReadAll(resp.Body)
	return raw, resp.Header.Get("Content-Type"), err
}

func put(url, mediaType string, raw []byte) (*http.Response, error) {
	return do(http.MethodPut, url, mediaType, raw, http.StatusCreated)
}

// do sends a request once and reads the body of the answer.
func do(method, url, mediaType string, body []byte, want int) (*http.Response, error) {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// The transport must not retry by itself either.
	req.GetBody = nil
	if mediaType != "" {
		req.Header.Set("Content-Type", mediaType)
	}
	req.Header.Set("Accept", strings.Join([]string{sample.OCIManifest, sample.OCIIndex, sample.DockerManifest, sample.DockerList}, ","))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode != want {
		return nil, fmt.Errorf("%s: %s", method, resp.Status)
	}
	resp.Body = io.NopCloser(bytes.NewReader(raw))
	return resp, nil
}
