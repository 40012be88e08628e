// Package containerdconf reads containerd's configuration as each of its releases does, says
// whether containerd will honour hosts.toml files, and sets config_path with the smallest change.
//
// Promises: [Assess] is a pure function of the files and the release; it returns the problems with
// their remedies. [Wire] sets config_path: in a file of its own if containerd merges files, otherwise
// in the file that takes effect. Every other byte stays, unless the file also needs a version line, or
// the caller allows to remove the mirrors that conflict ([Options.DropMirrors]). Its result was read
// again the way containerd reads it. No error and no [Issue] repeats a value other than a path.
//
// The package writes nothing, starts nothing and does not know the node: package node finds the
// files, package managedfile writes them.
//
// Start reading at [Load], then merge.go, which says how each release combines several files.
// docs/adr/0011-editing-config-toml.md has the reasons.
//
// Sources: https://github.com/containerd/containerd, services/server/config (1.6,
// 1.7), cmd/containerd/server/config (2.0 and later), pkg/cri/config (1.x),
// internal/cri/config and plugins/cri/images (2.x).
package containerdconf
