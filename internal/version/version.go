// Package version returns the version of a Berth program, in the same way for all of them. It reads
// only the program itself.
package version

import "runtime/debug"

// Development is the version of a program built without one.
const Development = "development"

// Of returns the version: linked, which the linker sets in a release build, else the module version
// from the go command, else [Development].
//
// The linker sets the variable "version" of package main (-X main.version=…), so every command has
// its own and passes it here.
func Of(linked string) string {
	if linked != "" {
		return linked
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return Development
}
