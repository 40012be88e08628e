// Package tokens keeps ECR tokens fresh: one for each service and region that
// is wanted, however many registries it serves, and for those that the
// credential provider got on its own.
//
// It promises that no token is given out past its margin before expiry, by
// either clock of the machine; that AWS is not asked again sooner than the
// backoff and AWS itself allow; and that nobody who calls it waits for the
// network. Tokens that another process stored are taken instead of asking.
//
// It never touches a file or a connection itself: both are behind [Source].
//
// Start with [Refresher.Set] and [Refresher.Run]. What happens when is decided in
// step (loop.go) from the state of an entry (entry.go), and how long a failure
// keeps it waiting in backoff.go: pure functions of the time.
package tokens
