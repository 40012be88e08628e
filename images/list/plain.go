package list

import (
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/berth-registry/berth/images/document"
	"github.com/berth-registry/berth/images/place"
	"github.com/berth-registry/berth/images/reference"
)

// AddPlain adds the images of a list with an image on each line, from a file or from stdin for
// [document.Stdin], as kubeadm config images list, rke config --system-images and berth images list
// print it. It skips empty lines, comments, log lines of rke and kubeadm, quotes and CRLF. Counts
// of uniq -c are kept; "Image: x" of kubectl describe is x; several images on a line are taken if
// each has a tag, a digest or a path. Lists for zarf, hauler, skopeo sync and regsync are
// recognised.
func (l *List) AddPlain(name string, stdin io.Reader) {
	data, err := document.ReadInput(name, stdin)
	if err != nil {
		l.AddProblem(err)
		return
	}
	src, err := document.NewSource(name, data)
	if err != nil {
		l.AddProblem(err)
		return
	}
	if isImageList(src) && imageLists(src, l) {
		return
	}
	if plainLines(src, l) == 0 {
		l.AddProblem(&place.Problem{Place: place.Place{File: name}, Err: errors.New("names no image")})
	}
}

// plainLines adds the images of the lines. It returns how many lines it took for an image, errors
// included.
func plainLines(s *document.Source, l *List) int {
	count := 0
	for i, at := range s.Lines {
		end := len(s.Text)
		if i+1 < len(s.Lines) {
			end = s.Lines[i+1]
		}
		raw := s.Text[at:end]
		text := plainLine(raw)
		if text == "" || strings.HasPrefix(text, imageID) {
			continue
		}
		if level := logLevel(text); level != "" {
			if level != "info" {
				count++
				l.AddProblem(&place.Problem{Place: placeIn(s, at, raw, text), Err: errors.New("the program that printed this list reported an error here; the list may be incomplete")})
			}
			continue
		}
		count++
		if m := labelled.FindStringSubmatch(text); m != nil {
			text = plainLine(m[1])
		}
		times := 0
		if m := uniqued.FindStringSubmatch(text); m != nil {
			// A number too large for a count is none.
			if n, err := strconv.Atoi(m[1]); err == nil {
				times, text = n, plainLine(m[2])
			}
		}
		for _, image := range severalImages(text) {
			found := placeIn(s, at, raw, image)
			found.Use = place.UseListed
			r, err := reference.Parse(image)
			if err != nil {
				l.AddProblem(&place.Problem{Place: found, Err: err})
				continue
			}
			found.Count = times
			l.Add(r, found)
		}
	}
	return count
}

// placeIn is the place of text in a line that begins at an offset.
func placeIn(s *document.Source, at int, line, text string) place.Place {
	return s.Place(at + max(strings.Index(line, text), 0))
}

// imageID begins a line of kubectl describe with the digest of an image that another line names.
const imageID = "Image ID:"

var (
	labelled = regexp.MustCompile(`^(?:- )?"?[Ii]mage"?:\s+(\S.*)$`) // kubectl describe; a line of a manifest
	uniqued  = regexp.MustCompile(`^(\d{1,9})\s+(\S.*)$`)            // uniq -c
)

// severalImages splits a line if each of its words has a colon or a slash. Otherwise the line is
// returned whole.
func severalImages(line string) []string {
	words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
	if len(words) < 2 || reference.IsPlaceholder(line) {
		return []string{line}
	}
	for i, word := range words {
		if words[i] = plainLine(word); !strings.ContainsAny(words[i], "/:") {
			return []string{line}
		}
	}
	return words
}

// isImageList reports whether the text may be a list for another program and is worth parsing.
func isImageList(s *document.Source) bool {
	for _, word := range []string{"images:", "sync:", "images-by-", "content.hauler.cattle.io", `"images"`, `"sync"`} {
		if strings.Contains(s.Text, word) {
			return true
		}
	}
	return false
}

// imageLists reads the documents if any is a list for another program; otherwise it returns false.
func imageLists(s *document.Source, l *List) bool {
	found := &List{}
	any := false
	for _, d := range s.Documents() {
		switch {
		case d.Err != nil:
			found.AddProblem(d.Err)
		case found.addImageList(s, d.Root):
			any = true
		case d.Root != nil:
			found.AddProblem(s.Problem(d.Root.At, errors.New("is not a known kind of image list; read manifests with -f")))
		}
	}
	if !any {
		return false
	}
	for _, image := range found.Images() {
		for _, p := range image.Found {
			l.Add(image.Reference, p)
		}
	}
	for _, err := range found.Problems() {
		l.AddProblem(err)
	}
	return true
}

// plainLine strips everything that is not part of the image.
func plainLine(line string) string {
	line = strings.TrimSpace(strings.TrimPrefix(line, document.ByteOrderMark))
	if strings.HasPrefix(line, "#") {
		return ""
	}
	if at := strings.IndexAny(line, "\t "); at >= 0 && strings.HasPrefix(strings.TrimLeft(line[at:], "\t "), "#") {
		line = line[:at]
	}
	line = strings.TrimPrefix(line, "- ")
	line = strings.TrimSuffix(strings.TrimSpace(line), ",")
	for _, quote := range []string{`"`, "'"} {
		if len(line) >= 2 && strings.HasPrefix(line, quote) && strings.HasSuffix(line, quote) && strings.Count(line, quote) == 2 {
			line = line[1 : len(line)-1]
		}
	}
	return strings.TrimSpace(line)
}

// Lines of logrus to a file and to a terminal (rke), and of klog (kubeadm).
var (
	logrusFile     = regexp.MustCompile(`^time="[^"]*" level=([a-z]+) msg=`)
	logrusTerminal = regexp.MustCompile(`^(?:\x1b\[\d+m)?(TRAC|DEBU|INFO|WARN|ERRO|FATA|PANI)(?:\x1b\[0m)?\[\d+\]`)
	klog           = regexp.MustCompile(`^([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ `)
)

// logLevel returns info for a log line that reports no error, error for one that does, and "" for
// anything else.
func logLevel(line string) string {
	for _, pattern := range []*regexp.Regexp{logrusFile, logrusTerminal, klog} {
		if m := pattern.FindStringSubmatch(line); m != nil {
			switch m[1] {
			case "error", "fatal", "panic", "ERRO", "FATA", "PANI", "E", "F":
				return "error"
			}
			return "info"
		}
	}
	return ""
}
