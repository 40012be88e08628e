package images

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/images/reference"
	"github.com/berth-registry/berth/images/rewrite"
)

func newRewrite(o *cli.Options) *cobra.Command {
	var files, only []string
	var to string
	var r rewrite.Options
	cmd := &cobra.Command{
		Use:   "rewrite -f FILE --to REGISTRY[/PATH]",
		Short: "Print manifests with their images pointed at another registry",
		Long: `Print manifests with their images pointed at another registry, under the same
repository path and tag: with --to registry.corp/mirror, redislabs/redis:7 becomes
registry.corp/mirror/redislabs/redis:7, where berth images copy puts it. Nothing
else changes: comments, order, indentation and quotes stay byte for byte, and so
does an image that is already there.

It changes the images that berth images list finds, also in YAML and JSON inside of
values; those in environment variables, arguments and ConfigMaps, which are
recognised only by their form, with --env. Images that it cannot change, such as
placeholders of a template, images of a kustomization and values that only look
like an image, are named, and the exit code is then 1. A file that cannot be read
is not printed.

--image-pull-secret adds a secret of that name to every pod with an image on the
new registry, and to the custom resources of Redis Enterprise and Prometheus.`,
		Example: "  berth images rewrite -f redis.yaml --to registry.corp:5000 > redis-private.yaml\n" +
			"  berth images rewrite -f manifests --to registry.corp/mirror --image-pull-secret regcred > all.yaml\n" +
			"  helm template redis ./chart | berth images rewrite -f - --to registry.corp --only docker.io | kubectl apply -f -",
		Args:        noArguments("files are named with -f"),
		Annotations: cli.Formats("text"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := rewriteTargets(&r, to, only); err != nil {
				return err
			}
			if len(files) == 0 {
				return cli.Usage(errors.New("-f: no file is named; write -f FILE, or -f - for standard input"))
			}
			if err := onceStdin(files); err != nil {
				return err
			}
			out := rewrite.NewStream(cmd.InOrStdin(), cmd.OutOrStdout(), r)
			for _, name := range files {
				if err := out.Add(name); err != nil {
					return err
				}
			}
			if err := out.Close(); err != nil {
				return err
			}
			for _, note := range out.Notes() {
				fmt.Fprintf(cmd.ErrOrStderr(), "note: %s\n", note)
			}
			return errors.Join(out.Problems()...)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&files, "filename", "f", nil, "a file, a directory and all below it, or - for standard input; repeatable")
	f.StringVar(&to, "to", "", "new registry of the images, with or without a path")
	f.StringArrayVar(&only, "only", nil, "change only images of this registry, or below this registry/path; repeatable")
	f.StringVar(&r.PullSecret, "image-pull-secret", "", "name of a pull secret to add to pods")
	f.BoolVar(&r.Env, "env", false, "also change images in environment variables, arguments and ConfigMaps")
	f.BoolVar(&r.AllowUnknown, "allow-unknown", false, "do not report values that look like an image in fields that are not known to hold one")
	return cmd
}

// secretName is what Kubernetes takes for the name of a secret, a DNS subdomain.
var secretName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

func rewriteTargets(r *rewrite.Options, to string, only []string) error {
	var err error
	if r.To, err = reference.ParseTarget(to); err != nil {
		return cli.Usage(fmt.Errorf("--to: %w", err))
	}
	for _, s := range only {
		target, err := reference.ParseTarget(s)
		if err != nil {
			return cli.Usage(fmt.Errorf("--only: %w", err))
		}
		r.Only = append(r.Only, target)
	}
	if r.PullSecret != "" && (len(r.PullSecret) > 253 || !secretName.MatchString(r.PullSecret)) {
		return cli.Usage(fmt.Errorf("--image-pull-secret: %q is no name of a secret; use lower case letters, digits, \".\" and \"-\" inside", r.PullSecret))
	}
	return nil
}
