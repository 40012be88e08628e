// Package watch says when files may have changed.
//
// It promises that [Options.Wake] is called after the last change of whatever
// [Watcher.Set] named, as long as [Watcher.State] is ok: also when the change
// is another file behind the same name, a link on the way that leads elsewhere,
// a directory above that was moved, or a directory that did not exist when it
// was named. It does not say what changed, and it may call once too often. It
// reads directories and links, never a file, and changes nothing. What inotify
// refuses to watch it tries again when told to, with [Watcher.Retry].
//
// What it cannot see: changes on a file system that has no inotify (some
// network file systems) and something mounted over a watched directory. The
// caller's own timer makes up for both.
//
// How it works: every directory on the way to a file is watched, from the root
// down, links followed as the kernel follows them, and events are sorted out by
// the names that lead on. Directories are watched, never files, because a file
// that is replaced by rename takes a watch with it. Begin to read at
// [Watcher.Run], then graph.go.
package watch
