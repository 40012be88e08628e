// Package ecr gets passwords for Amazon's container registries, and recognises the hosts that are
// such registries.
//
// It promises that a source of AWS credentials is asked only when those before it in the configured
// order cannot give a token, and that nothing secret is part of an error or a log line. A token
// goes to the caller alone.
//
// It writes no file and remembers nothing but the offset of AWS's clock: a [Result] holds what the
// caller has to remember.
//
// Start with [Chain.Fetch]. [ParseHost] recognises a registry by its name; [Decide] is the table
// that maps an [Outcome] to its consequences.
//
// This is the only package that knows AWS. It signs requests with the AWS SDK and makes its few
// calls to AWS itself, because the SDK's service clients cost a third of the credential provider's
// run time by being linked. Tests compare it with those clients.
package ecr
