package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/hostsconf"
	"github.com/berth-registry/berth/internal/nodefs"
	"github.com/berth-registry/berth/node/desired"
	"github.com/berth-registry/berth/node/reconcile"
	"github.com/berth-registry/berth/node/trace"
)

func newTrace(o *options) *cobra.Command {
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
				return usage(fmt.Errorf("--timeout: %s: must be more than 0; use 5s", timeout))
			}
			if runtime != "containerd" && runtime != "docker" {
				return usage(fmt.Errorf("--runtime: %q: must be containerd or docker", runtime))
			}
			return o.trace(cmd, args, proc, runtime == "docker", timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "limit for each answer of a host")
	cmd.Flags().StringVar(&runtime, "runtime", "containerd", "what pulls: containerd or docker")
	_ = cmd.RegisterFlagCompletionFunc("runtime", cobra.FixedCompletions([]string{"containerd", "docker"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().StringVar(&proc, "proc", "", "the node's /proc (default: /proc, unless --root names another directory)")
	return cmd
}

func (o *options) trace(cmd *cobra.Command, images []string, proc string, docker bool, timeout time.Duration) error {
	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	m, cfg, err := o.openMaybe(stderr)
	if err != nil {
		return err
	}
	defer m.Close()
	t, err := o.tracer(cmd, m, cfg, proc, docker, timeout)
	if err != nil {
		return err
	}
	reports := make([]trace.Report, 0, len(images))
	served := true
	for i, image := range images {
		r := t.Image(cmd.Context(), image)
		reports = append(reports, r)
		served = served && r.Verdict.Serves
		if o.output == "json" {
			continue
		}
		if i > 0 {
			fmt.Fprintln(stdout)
		}
		if err := printTrace(stdout, r); err != nil {
			return err
		}
	}
	if o.output == "json" {
		err = printJSON(stdout, reports)
	}
	if err == nil && !served {
		err = &codeError{code: exitFailed}
	}
	return err
}

// tracer returns the tracer of the node, which knows its credentials.
func (o *options) tracer(cmd *cobra.Command, m *reconcile.Node, cfg *config.Config, proc string, docker bool, timeout time.Duration) (*trace.Tracer, error) {
	if proc != "" {
		m.SetProc(proc)
	}
	root, err := nodefs.OpenRoot(o.root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	containerds, dockers := "", config.Default().Docker.CertsDir
	if cfg != nil {
		containerds, dockers = cfg.Containerd.CertsDir, cfg.Docker.CertsDir
	}
	h := o.host(root, proc)
	var looked trace.Node
	if docker {
		looked, err = trace.LookDocker(cmd.Context(), h, dockers, os.Getenv)
	} else {
		looked, err = trace.Look(cmd.Context(), h, containerds, os.Getenv)
	}
	if err != nil {
		return nil, err
	}
	t := &trace.Tracer{
		Node: looked, Timeout: timeout,
		Explain: func(ctx context.Context, image string) (credprovider.Explanation, error) {
			return m.Credentials(ctx, cfg, image, o.logger(cmd.ErrOrStderr()))
		},
	}
	if cfg != nil {
		learned, err := m.Learned()
		if err != nil {
			return nil, err
		}
		t.CheckRealm = func(u hostsconf.URL, server string) error {
			return desired.CheckRealm(cfg, learned.Facts, u, server)
		}
	}
	t.Unasked, t.KubeletUnloaded = trace.LookAtKubelet(h, func() error { return o.kubeletRefusal(cmd.Context(), h, cfg) })
	return t, nil
}

func printTrace(w io.Writer, r trace.Report) error {
	paint := painter(w)
	var b strings.Builder
	line := func(key, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s %s\n", key, fmt.Sprintf(format, args...))
	}
	line("image", "%s", r.Image)
	if r.Reference != "" && r.Reference != r.Image {
		line("reference", "%s", r.Reference)
	}
	if r.Registry != "" {
		line("directory", "%s", directoryText(r))
	}
	for i, h := range r.Hosts {
		what := "mirror"
		if h.Itself {
			what = "the registry itself"
		}
		line(fmt.Sprintf("host %d", i+1), "%s (%s; %s)", h.URL, what, orNone(strings.Join(h.Capabilities, ", ")))
		line("", "  login     %s", credentialText(h.Credential))
		if len(h.Headers) > 0 {
			line("", "  headers   %s", strings.Join(h.Headers, ", "))
		}
		if h.TokenLogin != "" {
			line("", "  tokens    of %s, which gets %s", h.TokenServer, h.TokenLogin)
		}
		line("", "  resolve   %s", probeText(h.Resolve))
		line("", "  manifest  %s", probeText(h.Content))
		line("", "  layer     %s", probeText(h.Layer))
		if h.Limit != nil {
			line("", "  limit     %d of %d pulls left in %s", h.Limit.Remaining, h.Limit.Total, time.Duration(h.Limit.WindowS*float64(time.Second)))
		}
	}
	if r.Credential != "" {
		line("kubelet", "%s", r.Credential)
	}
	if r.Digest != "" {
		line("digest", "%s", r.Digest)
	}
	for _, n := range r.Notes {
		line("note", "%s", n.Text)
		if n.Remedy != "" {
			line("", "→ %s", n.Remedy)
		}
	}
	style := "add"
	if !r.Verdict.Serves {
		style = "remove"
	}
	line("verdict", "%s", paint(style, r.Verdict.Text))
	_, err := io.WriteString(w, b.String())
	return err
}

func directoryText(r trace.Report) string {
	switch {
	case r.CertsDir == "":
		return "none: no hosts.toml files are read"
	case r.Directory == "":
		return "none in " + r.CertsDir + ", so the registry itself is asked"
	case r.Ignored != "":
		return filepath.Join(r.CertsDir, r.Directory) + ", but its hosts.toml is ignored"
	}
	return filepath.Join(r.CertsDir, r.Directory)
}

func credentialText(c trace.Credential) string {
	text := "none"
	switch {
	case c.Channel == "none" && c.Rule != "" && c.Problem != "":
		return fmt.Sprintf("none; %s is for it, but: %s", c.Rule, c.Problem)
	case c.Channel == "none":
		return text
	case c.Username != "":
		text = fmt.Sprintf("%s of %s", c.What, c.Username)
	default:
		text = c.What
	}
	if c.Rule != "" {
		text += " (" + strings.TrimSuffix(c.Rule+", "+c.Source, ", ") + ")"
	}
	if c.Channel == "header" {
		text += ", in a header for this host alone"
	} else {
		text += ", from kubelet's credential provider"
	}
	if c.Expires == nil {
		return text
	}
	if left := time.Until(*c.Expires); left > 0 {
		return text + ", expires in " + left.Round(time.Second).String()
	}
	return text + ", expired at " + c.Expires.Format(time.RFC3339)
}

func probeText(p trace.Probe) string {
	switch {
	case p.OK:
		text := fmt.Sprintf("ok, %d, %s ms", p.Status, latency(p.LatencyMS))
		if p.Redirect != "" {
			text += ", from " + p.Redirect
		}
		return text
	case !p.Asked && p.Detail == "":
		return "not asked"
	case !p.Asked:
		return "not asked: " + p.Detail
	}
	return fmt.Sprintf("no: %s, %s ms", p.Detail, latency(p.LatencyMS))
}

func latency(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.0f", math.Round(ms))
}

func orNone(s string) string {
	if s == "" {
		return "no capability"
	}
	return s
}
