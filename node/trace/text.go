package trace

import (
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-registry/berth/internal/textdiff"
)

// WriteText writes a report as "berth trace" prints it: a line for each fact, the verdict last.
func (r Report) WriteText(w io.Writer, paint textdiff.Paint) error {
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
		line(fmt.Sprintf("host %d", i+1),
			"%s (%s; %s)", h.URL, what, orNone(strings.Join(h.Capabilities, ", ")))
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
			line("", "  limit     %d of %d pulls left in %s", h.Limit.Remaining, h.Limit.Total,
				time.Duration(h.Limit.WindowS*float64(time.Second)))
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

func directoryText(r Report) string {
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

func credentialText(c Credential) string {
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
	switch c.Channel {
	case "header":
		text += ", in a header for this host alone"
	case "config.json":
		text += ", from kubelet's own config.json"
	default:
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

func probeText(p Probe) string {
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
