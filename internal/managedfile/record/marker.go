package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
)

// DefaultStateDir is the directory of the record and the copies on a node. The marker line names
// it.
const DefaultStateDir = "/var/lib/berth"

// A marker line is a comment sign, a space, markerStart, markerWords or markerUnrecorded,
// markerHash and the hash. Files of earlier versions must still be recognised: markerWords may
// change, the others must not. Both sets of words have the same length, so that a file can be
// changed in place.
const (
	markerStart      = "Written by berth; "
	markerWords      = "edits are saved below " + DefaultStateDir + " and put right. "
	markerUnrecorded = "not in the record, because it could not be written. "
	markerHash       = "sha256:"
)

// Limits of a marker line, in bytes.
const (
	MaxComment = 8   // the comment sign
	MarkerSize = 512 // the beginning of a file that holds the whole line
)

// Marked returns body with a marker line before it. comment starts a comment line in the file's
// format, such as "#". unrecorded says that the record does not know the file.
func Marked(comment string, body []byte, unrecorded bool) []byte {
	words := markerWords
	if unrecorded {
		words = markerUnrecorded
	}
	line := comment + " " + markerStart + words + markerHash + Hash(body) + "\n"
	return append(append(make([]byte, 0, len(line)+len(body)), line...), body...)
}

// Intact reports whether content starts with a marker line whose hash matches the rest: a complete
// and unedited file of Berth's.
func Intact(content []byte) bool {
	want, body, ok := cutMarker(content)
	return ok && Hash(body) == want
}

// Unrecorded reports whether content is a complete and unedited file of Berth's that says that the
// record does not know it, see [Marked].
func Unrecorded(content []byte) bool {
	line, _, _ := bytes.Cut(content, []byte("\n"))
	return bytes.Contains(line, []byte(markerStart+markerUnrecorded+markerHash)) && Intact(content)
}

// cutMarker splits content into the hash in its first line and the rest. ok is false if the first
// line is not a marker.
func cutMarker(content []byte) (sum string, body []byte, ok bool) {
	line, body, found := bytes.Cut(content, []byte("\n"))
	if !found {
		return "", nil, false
	}
	sum, ok = parseMarker(line)
	return sum, body, ok
}

// parseMarker returns the hash in a line; ok is false if the line is not a marker.
func parseMarker(line []byte) (sum string, ok bool) {
	comment, rest, found := bytes.Cut(bytes.TrimRight(line, " \t\r\n"), []byte(" "))
	if !found || len(comment) == 0 || len(comment) > MaxComment || !bytes.HasPrefix(rest, []byte(markerStart)) {
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

// StartsWithMarker reports whether the first line of head is a marker.
func StartsWithMarker(head []byte) bool {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	_, ok := parseMarker(line)
	return ok
}

// HasMarker reports whether any line is a marker: an edit may have added lines above it.
func HasMarker(content []byte) bool {
	for line := range bytes.Lines(content) {
		if _, ok := parseMarker(line); ok {
			return true
		}
	}
	return false
}

// WithoutMarker returns content without a marker on its first line. A diff must leave the marker
// out, because its hash changes with every edit.
func WithoutMarker(content []byte) []byte {
	if !StartsWithMarker(content) {
		return content
	}
	_, rest, _ := bytes.Cut(content, []byte("\n"))
	return rest
}
