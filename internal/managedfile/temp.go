package managedfile

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// Names that a write passes through. No registry's host begins with "_", so
// containerd never looks into such a directory, and the name tells what became
// of it when a crash leaves it behind:
//
//	_berth-tmp-0123456789abcdef-file         a file that was being written
//	_berth-tmp-0123456789abcdef-new          a directory that was being made
//	_berth-tmp-0123456789abcdef-old-quay.io  the directory quay.io, on its way out
const tempPrefix = "_berth-tmp-"

const (
	tempFile tempKind = "-file"
	tempNew  tempKind = "-new"
	tempOld  tempKind = "-old-"
)

type tempKind string

const tempRandom = 8 // bytes

// Temporary reports whether a name is one that a write passes through.
func Temporary(name string) bool {
	kind, _ := parseTemp(name)
	return kind != ""
}

func tempName(k tempKind, of string) string {
	b := make([]byte, tempRandom)
	rand.Read(b) // never fails
	return tempPrefix + hex.EncodeToString(b) + string(k) + of
}

// parseTemp says what a name is; kind is "" for a name that is not ours. of is
// the directory that was going.
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
