// Package managedfile writes files on a node that others may edit too, and loses
// nothing of theirs.
//
// A caller says what is wanted in an area (a [Scope]), [Store.Observe] looks
// at what is there, [Plan] decides, a pure function, and [Store.Apply] carries
// it out: each file appears whole or not at all to whoever reads at that
// moment. [Store.Restore] puts everything back as it was before.
//
// A file is ours by its first line, which carries the hash of the rest (see
// [File.Content]), or by the record that is kept outside (state.json), so that
// one of them may be lost. Everything else is foreign and is only taken over
// on request, after a copy was made. The rules, and the reasons for them, are
// in docs/adr/0002-owned-files.md; classify.go is where they are decided.
//
// The package never follows a symbolic link below a scope's directory, and
// links above it lead nowhere but below the root ([OpenRoot]). It runs on
// Linux.
package managedfile
