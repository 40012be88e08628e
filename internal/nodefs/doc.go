// Package nodefs opens, reads and changes files of a node below its root.
//
// A path is absolute and slash-separated, as on the node. [Root] resolves symlinks below the root, as
// in a chroot. [Dir] is an open directory: its methods take one name, follow no symlink, and call a
// hook before each change. [LockFile] is a lock file below the root.
//
// The package knows nothing about which files belong to Berth; package managedfile decides that.
// Start reading at [Root] and [Dir]. It runs on Linux.
package nodefs
