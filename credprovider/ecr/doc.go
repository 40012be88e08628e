// Package ecr gives passwords for Amazon's container registries, and tells
// which hosts are such registries.
//
// [ParseHost] recognises a registry by its name. A [Chain] asks its sources of
// AWS credentials in the configured order: the role of the EC2 instance, then
// static keys, and goes on to the next only when one cannot serve; [Decide] is
// the table of what follows from which [Outcome]. It keeps nothing: what was
// learned comes back in a [Result], for the caller to remember.
//
// This is the only package that knows AWS. It takes the request signing from
// the AWS SDK, and speaks the three calls that it needs itself, because the
// SDK's service clients cost a third of the credential provider's run time
// merely by being linked. Tests hold it against those clients.
//
// A token goes to nobody but the caller, and nothing secret is part of an
// error or a log line.
package ecr
