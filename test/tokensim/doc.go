// Package tokensim tries the token keeper in simulated time: a year of random
// failures (start with [Year]), and a cluster that boots in one second (start
// with [Herd]). Each runs in a bubble of testing/synctest, where nothing takes
// time but what is meant to.
//
// What the keeper does is judged by rules of its own (judge.go), which are
// written down a second time here and not taken from the keeper. [Naive] breaks
// them: a check that it passes would be worth nothing.
package tokensim
