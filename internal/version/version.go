// Package version tells which version of Berth a program is, in one way for all
// of them. It reads nothing but the program itself.
package version

import "runtime/debug"

// Development is the version of a program that was built without one.
const Development = "development"

// Of gives the version: what the linker has set when a release was built, else
// what the go command knows of the module, else [Development].
//
// The linker sets the variable "version" of package main (-X main.version=…),
// so every command has one of its own, and hands it over.
func Of(linked string) string {
	if linked != "" {
		return linked
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return Development
}
