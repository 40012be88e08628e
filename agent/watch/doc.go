// Package watch reports when files may have changed.
//
// It promises that [Options.Wake] is called after the last change of everything that [Watcher.Set]
// named, as long as [Watcher.State] is ok. This includes another file behind the same name, a
// symlink on the way that leads elsewhere, a moved directory above, and a directory that did not
// exist when it was named. It does not say what changed, and may call once too often. It reads
// directories and symlinks, never a file, and changes nothing. [Watcher.Retry] retries what inotify
// refused to watch.
//
// It cannot see changes on a file system without inotify (some network file systems), or a file
// system mounted over a watched directory. The caller must look at everything from time to time
// too.
//
// How it works: it watches every directory on the way to a file, from the root down, follows
// symlinks as the kernel does, and selects events by name. It watches directories and never files,
// because a file that is replaced by rename takes its watch along.
//
// Start reading at [Watcher.Run] (watch.go), then graph.go.
package watch
