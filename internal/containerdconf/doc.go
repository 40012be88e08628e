// Package containerdconf reads containerd's configuration as each of its
// versions does, tells whether hosts.toml files will be honoured, and wires
// them with the smallest change.
//
// What it promises: [Assess] is a function of the files and the version alone,
// and says why and what to do; [Wire] changes one key, in a file of its own
// where containerd merges those and otherwise in the file that counts, of which
// every other byte stays; what it returns was read again the way containerd
// reads it. No error and no [Trap] repeats a value other than a path.
//
// It writes nothing, starts nothing, and knows no node: what finds the files is
// package node, what puts them in place is package managedfile. Start reading at
// [Load], then at merge.go, which says what each version makes of several
// files; docs/adr/0011-editing-config-toml.md has the reasons.
//
// Sources: https://github.com/containerd/containerd, services/server/config (1.6,
// 1.7), cmd/containerd/server/config (2.0 and later), pkg/cri/config (1.x),
// internal/cri/config and plugins/cri/images (2.x).
package containerdconf
