package managedfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
)

// DefaultStateDir is where the record and the copies are kept on a node. The
// marker line names it.
const DefaultStateDir = "/var/lib/berth"

// A marker line is a comment sign, a space, and these, with a hash between
// spaces and the end. Files of earlier versions must stay ours: the words
// between markerStart and markerHash may change, those two may not.
const (
	markerStart = "Written by berth; "
	markerWords = "edits are saved below " + DefaultStateDir + " and put right. "
	markerHash  = "sha256:"
)

const (
	maxComment = 8   // bytes of a comment sign
	peekSize   = 512 // enough of a file to hold a marker line
)

// Content is what the file contains on disk: the marker line, if Comment is
// set, and Body.
func (f File) Content() []byte {
	if f.Comment == "" {
		return f.Body
	}
	b := make([]byte, 0, len(f.Comment)+1+len(markerStart+markerWords+markerHash)+2*sha256.Size+1+len(f.Body))
	b = append(b, f.Comment...)
	b = append(b, ' ')
	b = append(b, markerStart+markerWords+markerHash...)
	b = append(b, hash(f.Body)...)
	b = append(b, '\n')
	return append(b, f.Body...)
}

// Intact reports whether content begins with a marker line whose hash is that
// of what follows: a file of ours that nobody changed and no crash tore.
func Intact(content []byte) bool {
	want, body, ok := cutMarker(content)
	return ok && hash(body) == want
}

// cutMarker splits content into the hash that its first line names and what
// follows that line. ok is false when the first line is no marker.
func cutMarker(content []byte) (sum string, body []byte, ok bool) {
	line, body, found := bytes.Cut(content, []byte("\n"))
	if !found {
		return "", nil, false
	}
	sum, ok = parseMarker(line)
	return sum, body, ok
}

// parseMarker gives the hash that a line names, and whether it is a marker.
func parseMarker(line []byte) (sum string, ok bool) {
	comment, rest, found := bytes.Cut(bytes.TrimRight(line, " \t\r\n"), []byte(" "))
	if !found || len(comment) == 0 || len(comment) > maxComment || !bytes.HasPrefix(rest, []byte(markerStart)) {
		return "", false
	}
	at := bytes.LastIndex(rest, []byte(markerHash))
	if at < 0 {
		return "", false
	}
	sum = string(rest[at+len(markerHash):])
	raw, err := hex.DecodeString(sum)
	return sum, err == nil && len(raw) == sha256.Size
}

// startsWithMarker reports whether the first line of the beginning of a file
// is a marker.
func startsWithMarker(head []byte) bool {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	_, ok := parseMarker(line)
	return ok
}

// hasMarker reports whether any line is a marker: somebody may have put a line
// above ours.
func hasMarker(content []byte) bool {
	for line := range bytes.Lines(content) {
		if _, ok := parseMarker(line); ok {
			return true
		}
	}
	return false
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// WithoutMarker gives content without its marker line, if it begins with one:
// what people want to see in a diff, where the hash would change each time.
func WithoutMarker(content []byte) []byte {
	if !startsWithMarker(content) {
		return content
	}
	_, rest, _ := bytes.Cut(content, []byte("\n"))
	return rest
}
