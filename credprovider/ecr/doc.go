// Package ecr gets passwords for Amazon's container registries, and recognises the hosts that are
// such registries.
//
// It promises that a source of AWS credentials is asked only when those before it in the configured
// order cannot give a token, and that nothing secret is part of an error or a log line. A token
// goes to the caller alone.
//
// It opens no connection, writes no file and remembers nothing: a [Result] holds what the caller has
// to remember. Package client, which implements [Client], asks AWS; it is apart because the program
// that kubelet executes must not link network code.
//
// Start with [Chain.Fetch]. [ParseHost] recognises a registry by its name; [Source.Identity] names
// the identity of a source; [Decide] is the table that maps an [Outcome] to its consequences.
package ecr
