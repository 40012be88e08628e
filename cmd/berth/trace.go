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
	"github.com/berth-registry/berth/internal/managedfile"
	"github.com/berth-registry/berth/node"
	"github.com/berth-registry/berth/node/install"
	"github.com/berth-registry/berth/node/trace"
)

func newTrace(o *options) *cobra.Command {
	var proc string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "trace IMAGE…",
		Short: "Tell where an image would come from, and why",
		Long: `Tell where an image would come from if this node pulled it now, and why: the
directory of certs.d that wins, the hosts in order with the login that each gets,
what each answers, and which one would serve the image. The hosts are asked with
containerd's own code and with the files, the proxy and the version of the
containerd of this node. Nothing is changed.

Each host gets a few requests and gives one byte of a layer; where Docker Hub
serves the image, it counts as one pull.

Exit codes: 0 each image has a host that serves it, 1 one has none.`,
		Example: "  berth trace docker.io/library/busybox:1.36\n" +
			"  berth trace registry.k8s.io/pause:3.10 quay.io/prometheus/busybox -o json --timeout 2s\n" +
			"  berth trace --root /host --proc /host/proc nginx   # in a container that has the node there",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout <= 0 {
				return usage(fmt.Errorf("--timeout: %s is no time to wait; use 5s", timeout))
			}
			return o.trace(cmd, args, proc, timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long a host may take for one answer")
	cmd.Flags().StringVar(&proc, "proc", "", "the node's /proc (default: /proc, unless --root names another directory)")
	return cmd
}

func (o *options) trace(cmd *cobra.Command, images []string, proc string, timeout time.Duration) error {
	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	m, cfg, err := o.openMaybe(stderr)
	if err != nil {
		return err
	}
	defer m.Close()
	if proc != "" {
		m.SetProc(proc)
	}
	root, err := managedfile.OpenRoot(o.root)
	if err != nil {
		return err
	}
	defer root.Close()
	configured := ""
	if cfg != nil {
		configured = cfg.Containerd.CertsDir
	}
	looked, err := trace.Look(cmd.Context(), o.host(root, proc), configured, os.Getenv)
	if err != nil {
		return err
	}
	t := trace.Tracer{
		Node: looked, Timeout: timeout,
		Explain: func(ctx context.Context, image string) (credprovider.Explanation, error) {
			return m.Credentials(ctx, cfg, image, o.logger(stderr))
		},
	}
	t.Unasked, t.KubeletUnloaded = o.unasked(cmd.Context(), o.host(root, proc), cfg)
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

// unasked tells why kubelet does not ask the credential provider about an image,
// nil where no kubelet is seen; and which change kubelet may not know yet.
func (o *options) unasked(ctx context.Context, h node.Host, cfg *config.Config) (why func(image string) string, unloaded string) {
	k, found, err := node.FindKubelet(h)
	if err != nil || !found {
		return nil, ""
	}
	if changed := k.ChangedSince(h); len(changed) > 0 {
		unloaded = changed[0] + " was changed after kubelet was started, and is read only then"
	}
	var providers []node.Provider
	reason, broken, restart := "kubelet has no credential provider", "", ""
	switch {
	case k.ProviderConfig == "" && k.UnitNamesProvider(h):
		restart = "kubelet runs without the credential provider that its unit names by now; " + node.Restart(k.Unit, "kubelet")
	case k.ProviderConfig != "":
		reason = install.Provider + " has no such image in its matchImages in " + k.ProviderConfig
		if providers, err = node.ReadProviders(h.Root, k.ProviderConfig); err != nil {
			broken = err.Error()
		}
	}
	return func(image string) string {
		if broken != "" || node.Asks(providers, install.Provider, image) {
			return broken
		}
		if restart != "" {
			return restart
		}
		if err := o.refusesKubelet(ctx, h, cfg); err != nil {
			return reason + "; " + err.Error()
		}
		return reason + "; run berth install --kubelet"
	}, unloaded
}

// host is the node below the root, whose processes are looked at where its
// /proc is known.
func (o *options) host(root *managedfile.Root, proc string) node.Host {
	h := node.Host{Root: root, Proc: proc}
	if dir, err := filepath.Abs(o.root); proc == "" && err == nil && dir == "/" {
		h.Proc = "/proc"
	}
	if h.Proc != "" {
		h.Version = node.AskVersion
	}
	return h
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
		return "none: containerd reads no hosts.toml files"
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
		return fmt.Sprintf("none; %s is meant for it, but: %s", c.Rule, c.Problem)
	case c.Channel == "none":
		return text
	case c.Username != "":
		text = fmt.Sprintf("%s of %s", c.What, c.Username)
	default:
		text = c.What
	}
	if c.Rule != "" {
		text += " (" + c.Rule + ")"
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
