package images

import (
	"errors"
	"io"
	"regexp"
	"strings"
)

// AddPlain reads a list with an image on each line, from a file or from stdin
// for [Stdin], as kubeadm config images list, rke config --system-images and
// berth images list print it. Empty lines, comments, the log lines between
// which rke and kubeadm put their images, quotes, and Windows' line ends do not
// matter.
func (l *List) AddPlain(name string, stdin io.Reader) {
	data, err := ReadInput(name, stdin)
	if err != nil {
		l.AddProblem(err)
		return
	}
	src, err := newSource(name, data)
	if err != nil {
		l.AddProblem(err)
		return
	}
	if src.plain(l) == 0 {
		l.AddProblem(&Problem{Place: Place{File: name}, Err: errors.New("names no image")})
	}
}

// plain puts the images on the list, and counts them and what was meant for
// one.
func (s *source) plain(l *List) int {
	count := 0
	for i, at := range s.lines {
		end := len(s.text)
		if i+1 < len(s.lines) {
			end = s.lines[i+1]
		}
		raw := s.text[at:end]
		text := plainLine(raw)
		if text == "" {
			continue
		}
		place := s.place(at + max(strings.Index(raw, text), 0))
		if level := logLevel(text); level != "" {
			if level != "info" {
				count++
				l.AddProblem(&Problem{Place: place, Err: errors.New("the program that printed this list reported an error here, so the list may lack something")})
			}
			continue
		}
		count++
		place.Use = UseListed
		if r, err := Parse(text); err != nil {
			l.AddProblem(&Problem{Place: place, Err: err})
		} else {
			l.Add(r, place)
		}
	}
	return count
}

// plainLine takes away what is not the image itself.
func plainLine(line string) string {
	line = strings.TrimSpace(strings.TrimPrefix(line, byteOrderMark))
	if strings.HasPrefix(line, "#") {
		return ""
	}
	if at := strings.IndexAny(line, "\t "); at >= 0 && strings.HasPrefix(strings.TrimLeft(line[at:], "\t "), "#") {
		line = line[:at]
	}
	line = strings.TrimPrefix(line, "- ")
	line = strings.TrimSuffix(strings.TrimSpace(line), ",")
	for _, quote := range []string{`"`, "'"} {
		if len(line) >= 2 && strings.HasPrefix(line, quote) && strings.HasSuffix(line, quote) {
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

// logLevel gives info for a line of a log that reports no error, error for one
// that does, and "" for anything else.
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
