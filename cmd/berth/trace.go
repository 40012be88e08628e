package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/cmd/berth/cli"
	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/reconcile"
	"github.com/berth-registry/berth/node/trace"
)

func newTrace(o *cli.Options) *cobra.Command {
	var proc, runtime string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "trace IMAGE…",
		Short: "Show where an image would come from, and why",
		Long: `Show where an image would come from if this node pulled it now, and why: the
directory of certs.d that wins, the hosts in order, the login and the answer of
each, and the host that would serve the image. The hosts are asked by containerd's
own code with the files, the proxy and the version of this node's containerd, or
with --runtime docker of its Docker Engine. Nothing is changed.

Each host gets a few requests, one of them for one byte of a layer. If Docker Hub
serves the image, this counts as one pull.

Exit codes: 0 every image has a host that serves it, 1 one has none.`,
		Example: "  berth trace docker.io/library/busybox:1.36\n" +
			"  berth trace registry.k8s.io/pause:3.10 quay.io/prometheus/busybox -o json --timeout 2s\n" +
			"  berth trace --runtime docker docker.io/library/busybox:1.36\n" +
			"  berth trace --root /host --proc /host/proc nginx   # in a container that has the node there",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout <= 0 {
				return cli.Usage(fmt.Errorf("--timeout: %s: must be more than 0; use 5s", timeout))
			}
			if runtime != "containerd" && runtime != "docker" {
				return cli.Usage(fmt.Errorf("--runtime: %q: must be containerd or docker", runtime))
			}
			return traceImages(o, cmd, args, proc, runtime == "docker", timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "limit for each answer of a host")
	cmd.Flags().StringVar(&runtime, "runtime", "containerd", "what pulls: containerd or docker")
	_ = cmd.RegisterFlagCompletionFunc("runtime", cobra.FixedCompletions([]string{"containerd", "docker"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().StringVar(&proc, "proc", "", "the node's /proc (default: /proc, unless --root names another directory)")
	return cmd
}

func traceImages(o *cli.Options, cmd *cobra.Command, images []string, proc string, docker bool, timeout time.Duration) error {
	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	n, cfg, err := o.OpenMaybe(stderr)
	if err != nil {
		return err
	}
	defer n.Close()
	t, err := newTracer(o, cmd, n, cfg, proc, docker, timeout)
	if err != nil {
		return err
	}
	reports := make([]trace.Report, 0, len(images))
	served := true
	for i, image := range images {
		r := t.Image(cmd.Context(), image)
		reports = append(reports, r)
		served = served && r.Verdict.Serves
		if o.Output == "json" {
			continue
		}
		if i > 0 {
			fmt.Fprintln(stdout)
		}
		if err := r.WriteText(stdout, cli.Painter(stdout)); err != nil {
			return err
		}
	}
	if o.Output == "json" {
		err = cli.PrintJSON(stdout, reports)
	}
	if err == nil && !served {
		err = &cli.ExitError{Code: cli.ExitFailed}
	}
	return err
}

// newTracer returns the tracer of the node, which knows its credentials.
func newTracer(o *cli.Options, cmd *cobra.Command, n *reconcile.Node, cfg *config.Config, proc string, docker bool, timeout time.Duration) (*trace.Tracer, error) {
	if proc != "" {
		n.SetProc(proc)
	}
	root, err := nodefs.OpenRoot(o.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	containerds, dockers := "", config.Default().Docker.CertsDir
	if cfg != nil {
		containerds, dockers = cfg.Containerd.CertsDir, cfg.Docker.CertsDir
	}
	m := machine(o, root, proc)
	var looked trace.Node
	if docker {
		looked, err = trace.LookDocker(cmd.Context(), m, dockers, os.Getenv)
	} else {
		looked, err = trace.Look(cmd.Context(), m, containerds, os.Getenv)
	}
	if err != nil {
		return nil, err
	}
	t := &trace.Tracer{
		Node: looked, Timeout: timeout,
		Explain: func(ctx context.Context, image string) (credprovider.Explanation, error) {
			return n.Credentials(ctx, cfg, image, o.Logger(cmd.ErrOrStderr()))
		},
	}
	file, err := n.ConfigJSONFile()
	if err != nil {
		return nil, err
	}
	t.ConfigJSON = trace.KubeletFile(n.Root, file)
	if cfg != nil {
		learned, err := n.Learned()
		if err != nil {
			return nil, err
		}
		t.CheckRealm = func(u hostsconf.URL, server string) error {
			return desired.CheckRealm(cfg, learned.Facts, u, server)
		}
	}
	t.Unasked, t.KubeletUnloaded = trace.LookAtKubelet(m, func() error { return kubeletRefusal(cmd.Context(), o, m, cfg) })
	return t, nil
}
