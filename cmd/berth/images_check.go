package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/berth-registry/berth/agent"
	"github.com/berth-registry/berth/agent/config"
	"github.com/berth-registry/berth/images"
)

func newImagesCheck(o *options) *cobra.Command {
	var sources imageSources
	var to string
	var platforms []string
	var limit bool
	var jobs int
	cmd := &cobra.Command{
		Use:   "check IMAGE… [--to REGISTRY[/PATH]]",
		Short: "Tell whether a registry has all images, as their source has them",
		Long: `Look for images in a registry, under the path where berth images copy puts them:
tag and digest equal to the source where that can be reached, and all platforms
there. Without --to it looks at every mirror that the config has for the image.
It only asks, and of the sources nothing that counts as a pull.

  ok          the same as at the source
  unverified  there, but the source could not be asked
  missing     not there
  different   another digest than at the source
  incomplete  there without all platforms
  unreachable the registry did not say

Exit code 1 when anything is neither ok nor unverified.

--rate-limit tells how many pulls Docker Hub still gives, for the login that there
is for docker.io or else for the address of this machine. Asking costs none.`,
		Example: "  berth images check nginx:1.27 redislabs/redis:7.2.4-64 --to registry.corp:5000\n" +
			"  berth images list -f manifests | berth images check --plain - --to registry.corp/mirror\n" +
			"  berth images check --plain images.txt --platform linux/amd64,linux/arm64 -o json\n" +
			"  berth images check --rate-limit",
		Args:              cobra.ArbitraryArgs,
		Annotations: takes("text", "json", "yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := images.Checker{Jobs: jobs}
			for _, p := range platforms {
				platform, err := images.ParsePlatform(p)
				if err != nil {
					return usage(fmt.Errorf("--platform: %w", err))
				}
				c.Platforms = append(c.Platforms, platform)
			}
			if jobs < 1 || jobs > 256 {
				return usage(errors.New("--jobs: must be a number from 1 to 256"))
			}
			var target images.Target
			if to != "" {
				var err error
				if target, err = images.ParseTarget(to); err != nil {
					return usage(fmt.Errorf("--to: %w", err))
				}
			}
			wanted, problems, err := sources.named(cmd.Context(), o, cmd.InOrStdin(), args, limit)
			if err != nil {
				return err
			}
			w, err := o.ways(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			c.Access, c.Log = w.access, o.logger(cmd.ErrOrStderr())
			var v checkView
			if limit {
				v.Limit = hubLimit(cmd.Context(), w.access)
			}
			if len(wanted) > 0 {
				spots, err := spotsFor(to, target, w.cfg)
				if err != nil {
					return err
				}
				if v.Images, err = c.Check(cmd.Context(), wanted, spots); err != nil {
					return errors.New("interrupted")
				}
			}
			err = errors.Join(append(problems, o.printChecked(cmd.OutOrStdout(), v))...)
			if err == nil {
				err = v.failure()
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&to, "to", "", "registry, with or without a path (default the mirrors in the config)")
	f.StringSliceVar(&platforms, "platform", nil, "platforms that are wanted, as in linux/amd64,linux/arm64 (default all that an image has)")
	f.BoolVar(&limit, "rate-limit", false, "tell how many pulls Docker Hub still gives")
	f.IntVar(&jobs, "jobs", images.DefaultJobs, "how many images are looked at at the same time")
	sources.register(cmd)
	return cmd
}

// spotsFor says where an image should be.
func spotsFor(to string, target images.Target, cfg *config.Config) (func(images.Reference) []images.Spot, error) {
	switch {
	case to != "":
		return func(r images.Reference) []images.Spot { return []images.Spot{images.SpotOn(target, r)} }, nil
	case cfg == nil:
		return nil, usage(errors.New("--to: is missing; write a registry, or name a config with --config, whose mirrors are then looked at"))
	}
	directories, _ := agent.Desired(cfg, agent.Inputs{})
	return func(r images.Reference) []images.Spot { return images.SpotsOf(directories, r) }, nil
}

type checkView struct {
	Images []images.Checked `json:"images" yaml:"images"`
	Limit  *limitView       `json:"rateLimit,omitempty" yaml:"rateLimit,omitempty"`
}

// limitView is what Docker Hub says.
type limitView struct {
	Limited   bool   `json:"limited" yaml:"limited"`
	Total     int    `json:"total,omitempty" yaml:"total,omitempty"`
	Remaining *int   `json:"remaining,omitempty" yaml:"remaining,omitempty"`
	Window    string `json:"window,omitempty" yaml:"window,omitempty"`
	Login     string `json:"login,omitempty" yaml:"login,omitempty"`
	Counted   string `json:"countedBy,omitempty" yaml:"countedBy,omitempty"`
	Error     string `json:"error,omitempty" yaml:"error,omitempty"`
}

func hubLimit(ctx context.Context, a images.Access) *limitView {
	l, who, err := a.HubLimit(ctx)
	if err != nil {
		return &limitView{Error: err.Error()}
	}
	v := &limitView{Limited: l.Limited, Login: who, Counted: l.Counted}
	if l.Limited {
		v.Total, v.Remaining, v.Window = l.Total, &l.Remaining, l.Window.String()
	}
	return v
}

func (v limitView) String() string {
	who := "anonymous"
	if v.Login != "" {
		who = "as " + v.Login
	}
	if v.Counted != "" && v.Login == "" {
		who += ", counted by the address " + v.Counted
	}
	switch {
	case v.Error != "":
		return "docker.io: the rate limit is not known: " + v.Error
	case !v.Limited:
		return fmt.Sprintf("docker.io: no rate limit (%s)", who)
	}
	window, _ := time.ParseDuration(v.Window)
	per := ""
	if window > 0 {
		per = fmt.Sprintf(" in %g hours", window.Hours())
	}
	return fmt.Sprintf("docker.io: %d of %d pulls left%s (%s)", *v.Remaining, v.Total, per, who)
}

// failure is the exit code; what is wrong has been told.
func (v checkView) failure() error {
	if v.Limit != nil && v.Limit.Error != "" {
		return &codeError{code: exitFailed}
	}
	for _, c := range v.Images {
		if !c.Finding.Well() {
			return &codeError{code: exitFailed}
		}
	}
	return nil
}

func (o *options) printChecked(w io.Writer, v checkView) error {
	switch o.output {
	case "json":
		return printJSON(w, v)
	case "yaml":
		return printYAML(w, v)
	}
	var text strings.Builder
	bad, unverified := 0, 0
	for _, c := range v.Images {
		switch {
		case c.Finding == images.FoundSame:
			continue
		case c.Finding.Well():
			unverified++
		default:
			bad++
		}
		fmt.Fprintf(&text, "%-11s %s", c.Finding, c.Image)
		if c.Target != c.Image.String() {
			fmt.Fprintf(&text, " at %s", c.Target)
		}
		if c.Note != "" {
			fmt.Fprintf(&text, ": %s", c.Note)
		}
		text.WriteByte('\n')
	}
	if n := len(v.Images); n > 0 {
		fmt.Fprintf(&text, "%d of %s as it should be", n-bad, count(n, "image"))
		if unverified > 0 {
			fmt.Fprintf(&text, ", %d of them not compared with the source", unverified)
		}
		text.WriteByte('\n')
	}
	if v.Limit != nil {
		fmt.Fprintln(&text, v.Limit)
	}
	_, err := io.WriteString(w, text.String())
	return err
}
