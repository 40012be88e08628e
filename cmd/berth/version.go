package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	programversion "github.com/berth-registry/berth/internal/version"
)

// version is set by the linker when a release is built.
var version = ""

func newVersion(o *cli.Options) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  berth version -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printVersion(o, cmd.OutOrStdout())
		},
	}
}

func printVersion(o *cli.Options, w io.Writer) error {
	v := buildVersion()
	if o.Output == "json" {
		return cli.PrintJSON(w, v)
	}
	_, err := fmt.Fprintf(w, "berth %s (%s, %s)\n", v.Version, v.Go, v.Platform)
	return err
}

type versionInfo struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func buildVersion() versionInfo {
	return versionInfo{Version: programversion.Of(version), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
}
