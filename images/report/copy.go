package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/berth-registry/berth/images/copy"
)

// Copy is the result of berth images copy.
type Copy struct {
	Images  []copy.Copied `json:"images" yaml:"images"`
	Copied  int           `json:"copied" yaml:"copied"`
	Present int           `json:"present" yaml:"present"`
	Failed  int           `json:"failed" yaml:"failed"`
	Bytes   int64         `json:"bytes" yaml:"bytes"`
}

// NewCopy counts results.
func NewCopy(results []copy.Copied) Copy {
	v := Copy{Images: results}
	for _, r := range results {
		v.Bytes += r.Bytes
		switch r.Status {
		case copy.StatusCopied:
			v.Copied++
		case copy.StatusPresent:
			v.Present++
		default:
			v.Failed++
		}
	}
	return v
}

// Failures returns why images failed, and which lack a platform that is wanted: one error for each
// cause, with the first image.
func (v Copy) Failures() []error {
	type group struct {
		first, text string
		more        int
	}
	groups := map[string]*group{}
	var order []*group
	add := func(r copy.Copied, cause, text string) {
		if g := groups[cause]; g != nil {
			g.more++
			return
		}
		g := &group{first: r.Image.String(), text: text}
		groups[cause] = g
		order = append(order, g)
	}
	for _, r := range v.Images {
		if r.Status == copy.StatusFailed {
			add(r, r.Cause(), r.Error)
		} else if len(r.Missing) > 0 {
			text := "has no " + strings.Join(r.Missing, ", ") + ", which --platform names"
			add(r, text, text)
		}
	}
	var all []error
	for _, g := range order {
		if g.more > 0 {
			g.first += fmt.Sprintf(" and %d more", g.more)
		}
		all = append(all, fmt.Errorf("%s: %s", g.first, g.text))
	}
	return all
}

// WriteText writes the closing line; rest says what the images are that are not there.
func (v Copy) WriteText(w io.Writer, rest string, took time.Duration) error {
	text := fmt.Sprintf("%s copied, %d there already", Count(v.Copied, "image"), v.Present)
	if v.Failed > 0 {
		text += fmt.Sprintf(", %d %s", v.Failed, rest)
	}
	_, err := fmt.Fprintf(w, "%s; %s sent in %s\n", text, copy.Size(v.Bytes),
		took.Round(100*time.Millisecond))
	return err
}

// copiedLine tells what came of one image.
func copiedLine(r copy.Copied) string {
	switch r.Status {
	case copy.StatusFailed:
		return fmt.Sprintf("failed   %s", r.Image) // why comes at the end
	case copy.StatusPresent:
		return fmt.Sprintf("present  %s%s", r.Target, inBrackets(platformParts(r)))
	}
	var parts []string
	if r.Uploaded > 0 {
		parts = append(parts, fmt.Sprintf("%s sent, %s", Count(r.Uploaded,
			"blob"), copy.Size(r.Bytes)))
	}
	if r.Mounted > 0 {
		parts = append(parts, fmt.Sprintf("%d taken over", r.Mounted))
	}
	if r.Attached > 0 {
		parts = append(parts, fmt.Sprintf("%d attached", r.Attached))
	}
	return fmt.Sprintf("copied   %s%s", r.Target, inBrackets(append(parts, platformParts(r)...)))
}

// platformParts tells what of an image was left out.
func platformParts(r copy.Copied) []string {
	if len(r.Left) == 0 {
		return nil
	}
	text := "without " + strings.Join(r.Left, ", ")
	if r.Reduced {
		text += ", index reduced"
	}
	return []string{text}
}

func inBrackets(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, "; ") + ")"
}
