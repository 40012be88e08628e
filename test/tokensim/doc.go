// Package tokensim tests the token refresher in simulated time: a year of random failures (start
// with [Year]), and a cluster that boots in one second (start with [BootCluster]). Each runs in a
// bubble of testing/synctest, in which only sleeping takes time.
//
// The rules for the refresher's behaviour (checker.go) are written here a second time, independently
// of the refresher. [Naive] breaks them, and the checks must find that.
package tokensim
