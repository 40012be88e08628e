package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/berth-registry/berth/images/check"
	"github.com/berth-registry/berth/internal/dockerhublimit"
)

// Check is the result of berth images check.
type Check struct {
	Images []check.Checked `json:"images" yaml:"images"`
	Limit  *Limit          `json:"rateLimit,omitempty" yaml:"rateLimit,omitempty"`
}

// Limit is how many pulls Docker Hub allows now.
type Limit struct {
	Limited   bool   `json:"limited" yaml:"limited"`
	Total     int    `json:"total,omitempty" yaml:"total,omitempty"`
	Remaining *int   `json:"remaining,omitempty" yaml:"remaining,omitempty"`
	Window    string `json:"window,omitempty" yaml:"window,omitempty"`
	Login     string `json:"login,omitempty" yaml:"login,omitempty"`
	Counted   string `json:"countedBy,omitempty" yaml:"countedBy,omitempty"`
	Error     string `json:"error,omitempty" yaml:"error,omitempty"`
}

// NewLimit returns what [registry.Access.HubLimit] returned.
func NewLimit(l dockerhublimit.Limit, who string, err error) *Limit {
	if err != nil {
		return &Limit{Error: err.Error()}
	}
	v := &Limit{Limited: l.Limited, Login: who, Counted: l.Counted}
	if l.Limited {
		v.Total, v.Remaining, v.Window = l.Total, &l.Remaining, l.Window.String()
	}
	return v
}

// String returns the limit in one line.
func (v Limit) String() string {
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

// OK reports whether all images are as they should be, as far as could be seen, and the rate limit
// is known if it was asked for.
func (v Check) OK() bool {
	if v.Limit != nil && v.Limit.Error != "" {
		return false
	}
	for _, c := range v.Images {
		if !c.Finding.OK() {
			return false
		}
	}
	return true
}

// groupOf is the same for findings that have one cause.
func groupOf(c check.Checked) string { return string(c.Finding) + " " + c.Cause() }

// groups are the findings that have one cause, in their order.
func (v Check) groups() map[string][]check.Checked {
	by := map[string][]check.Checked{}
	for _, c := range v.Images {
		if c.Cause() != "" {
			by[groupOf(c)] = append(by[groupOf(c)], c)
		}
	}
	return by
}

// at says where an image was looked for, if that is elsewhere than where it comes from.
func at(c check.Checked) string {
	if c.Target == c.Image.String() {
		return ""
	}
	return " at " + c.Target
}

// WriteText writes a line for each image that is not as it should be, those of one cause under one
// heading, and the closing line.
func (v Check) WriteText(w io.Writer) error {
	var text strings.Builder
	bad, unverified := 0, 0
	groups := v.groups()
	for _, c := range v.Images {
		switch {
		case c.Finding == check.FoundSame:
			continue
		case c.Finding == check.FoundNeedsBase:
		case c.Finding.OK():
			unverified++
		default:
			bad++
		}
		same, first := groups[groupOf(c)], false
		if len(same) > 0 {
			first = same[0].Image == c.Image && same[0].Target == c.Target
		}
		switch {
		case len(same) > 1 && first:
			fmt.Fprintf(&text, "%-11s %s: %s\n", c.Finding, Count(len(same), "image"), c.Note)
			for _, c := range same {
				fmt.Fprintf(&text, "            %s%s\n", c.Image, at(c))
			}
		case len(same) > 1:
		case c.Note != "":
			fmt.Fprintf(&text, "%-11s %s%s: %s\n", c.Finding, c.Image, at(c), c.Note)
		default:
			fmt.Fprintf(&text, "%-11s %s%s\n", c.Finding, c.Image, at(c))
		}
	}
	if n := len(v.Images); n > 0 {
		fmt.Fprintf(&text, "%d of %s as it should be", n-bad, Count(n, "image"))
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
