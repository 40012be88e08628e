// Command oci writes the image and the chart of a release, each as an OCI layout in a tar, without
// root and without a daemon. Equal input gives equal bytes.
//
//	oci image NAME FILE.tar ARCH=DIRECTORY...    DIRECTORY has what the Dockerfile has in /out
//	oci chart NAME FILE.tar CHART.tgz
//
// NAME is the name in index.json, as in registry.corp/berth:1.0.0. SOURCE_DATE_EPOCH is the time of
// all files. The settings of the image are those of the last stage of ./Dockerfile: see stage.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/berth-registry/berth/images/copy"
	"github.com/berth-registry/berth/images/reference"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "oci:", err)
		os.Exit(1)
	}
}

func run(args []string) (err error) {
	if len(args) < 4 {
		return errors.New("usage: oci image|chart NAME FILE.tar INPUT [INPUT]")
	}
	what, name, file, inputs := args[0], args[1], args[2], args[3:]
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	dir, err := os.MkdirTemp("", "berth-oci-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	files, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	var d v1.Descriptor
	switch what {
	case "image":
		d, err = addImage(files, time.Unix(epoch, 0).UTC(), inputs)
	case "chart":
		d, err = addChart(files, inputs[0])
	default:
		err = fmt.Errorf("%s: write image or chart", what)
	}
	if err != nil {
		return err
	}
	d.Annotations = map[string]string{"org.opencontainers.image.ref.name": name}
	if err := files.AppendDescriptor(d); err != nil {
		return err
	}
	return pack(dir, file)
}

// pack writes the layout in dir as one file, as berth images copy does.
func pack(dir, file string) error {
	from, err := reference.ParseSource(dir)
	if err != nil {
		return err
	}
	// A name without a slash is that of a registry.
	if file, err = filepath.Abs(file); err != nil {
		return err
	}
	to, err := reference.ParseLocation(file)
	if err != nil {
		return err
	}
	copied, err := (&copy.Copier{}).Copy(context.Background(), nil, from, to)
	for _, c := range copied {
		err = errors.Join(err, c.Err)
	}
	if err == nil && len(copied) != 1 {
		err = fmt.Errorf("%s: holds %d images, want 1", file, len(copied))
	}
	return err
}
