// Package managedfile writes files on a node that others may edit too, and loses no foreign
// content.
//
// A caller describes the desired files of an area (a [Scope]). [Store.Observe] reads the current
// state, [Plan] decides (a pure function), and [Store.Apply] carries out the plan: a reader sees
// each file complete or not at all. [Store.Restore] brings back the state before Berth.
//
// A file belongs to Berth if its first line is a marker with the hash of the rest (see
// [File.Content]), or if the record outside the area (state.json) says so; either may be lost.
// Every other file is foreign. It is taken over only on request, after a copy was made. The rules
// and their reasons are in docs/adr/0002-owned-files.md.
//
// The package never follows a symlink below a scope's directory, and symlinks above it are resolved
// below the root ([nodefs.OpenRoot]). It runs on Linux.
//
// Start reading at [Plan]; classify.go decides who owns a file.
package managedfile
