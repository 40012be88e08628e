package nodefs

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"strings"
)

// TempPrefix begins the names of temporary entries. No registry's host starts with "_", so
// containerd never reads such a directory. After a crash the name says what the entry is:
//
//	_berth-tmp-0123456789abcdef-file         a file that was being written
//	_berth-tmp-0123456789abcdef-new          a directory that was being created
//	_berth-tmp-0123456789abcdef-old-quay.io  the directory quay.io, being removed
const TempPrefix = "_berth-tmp-"

// The kinds of temporary entries.
const (
	TempFile TempKind = "-file"
	TempNew  TempKind = "-new"
	TempOld  TempKind = "-old-"
)

// TempKind is the kind of a temporary entry, as the end of its name has it.
type TempKind string

const tempRandom = 8 // bytes

// Temporary reports whether a name is that of a temporary entry.
func Temporary(name string) bool {
	kind, _ := ParseTemp(name)
	return kind != ""
}

// NewTemporary returns a new name for a temporary file.
func NewTemporary() string { return TempName(TempFile, "") }

// TempName returns a new name. of is the name of the directory that is being removed (TempOld), else
// "".
func TempName(k TempKind, of string) string {
	b := make([]byte, tempRandom)
	rand.Read(b) // never fails
	return TempPrefix + hex.EncodeToString(b) + string(k) + of
}

// ParseTemp classifies a name; kind is "" if it is not a temporary name. of is the name of the
// directory that was being removed.
func ParseTemp(name string) (kind TempKind, of string) {
	rest, ok := strings.CutPrefix(name, TempPrefix)
	if !ok || len(rest) < 2*tempRandom {
		return "", ""
	}
	if _, err := hex.DecodeString(rest[:2*tempRandom]); err != nil {
		return "", ""
	}
	switch rest = rest[2*tempRandom:]; {
	case rest == string(TempFile):
		return TempFile, ""
	case rest == string(TempNew):
		return TempNew, ""
	case strings.HasPrefix(rest, string(TempOld)) && len(rest) > len(TempOld):
		return TempOld, rest[len(TempOld):]
	}
	return "", ""
}

// RemoveTempFiles removes temporary files that a killed run left in a directory.
func RemoveTempFiles(d *Dir) error {
	entries, err := d.List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if kind, _ := ParseTemp(e.Name()); kind == TempFile && !e.IsDir() {
			if err := IgnoreAbsent(d.Unlink(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// IgnoreAbsent returns err, or nil if it says that a file is missing.
func IgnoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
