package managedfile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"strings"

	"github.com/berth-registry/berth/internal/nodefs"
)

// Names of temporary entries. No registry's host starts with "_", so containerd never reads such a
// directory. After a crash the name says what the entry is:
//
//	_berth-tmp-0123456789abcdef-file         a file that was being written
//	_berth-tmp-0123456789abcdef-new          a directory that was being created
//	_berth-tmp-0123456789abcdef-old-quay.io  the directory quay.io, being removed
const tempPrefix = "_berth-tmp-"

const (
	tempFile tempKind = "-file"
	tempNew  tempKind = "-new"
	tempOld  tempKind = "-old-"
)

type tempKind string

const tempRandom = 8 // bytes

// Temporary reports whether a name is that of a temporary entry.
func Temporary(name string) bool {
	kind, _ := parseTemp(name)
	return kind != ""
}

func tempName(k tempKind, of string) string {
	b := make([]byte, tempRandom)
	rand.Read(b) // never fails
	return tempPrefix + hex.EncodeToString(b) + string(k) + of
}

// parseTemp classifies a name; kind is "" if it is not a temporary name. of is the name of the
// directory that was being removed.
func parseTemp(name string) (kind tempKind, of string) {
	rest, ok := strings.CutPrefix(name, tempPrefix)
	if !ok || len(rest) < 2*tempRandom {
		return "", ""
	}
	if _, err := hex.DecodeString(rest[:2*tempRandom]); err != nil {
		return "", ""
	}
	switch rest = rest[2*tempRandom:]; {
	case rest == string(tempFile):
		return tempFile, ""
	case rest == string(tempNew):
		return tempNew, ""
	case strings.HasPrefix(rest, string(tempOld)) && len(rest) > len(tempOld):
		return tempOld, rest[len(tempOld):]
	}
	return "", ""
}

// removeTempFiles removes temporary files that a killed run left in a directory.
func removeTempFiles(d *nodefs.Dir) error {
	entries, err := d.List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if kind, _ := parseTemp(e.Name()); kind == tempFile && !e.IsDir() {
			if err := ignoreAbsent(d.Unlink(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
