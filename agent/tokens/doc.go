// Package tokens keeps ECR tokens fresh: one for each service, partition and region that the config
// wants, however many registries share it, and those that the credential provider fetched by
// itself.
//
// It promises that no token is served within its margin before expiry, by either clock of the
// machine; that AWS is not asked sooner than the backoff and AWS's Retry-After allow; and that no
// method but Run waits for the network. A token that another process stored is used instead of
// asking AWS.
//
// The package itself opens no file and no connection: [Source] does both.
//
// Start reading at [Refresher.Set] and [Refresher.Run]. step (loop.go) decides what to do now from
// the state of each entry (entry.go); backoff.go computes the pause after a failure. Both are
// functions of the time.
package tokens
