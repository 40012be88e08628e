//go:build race

package config

// raceFactor is how many times slower the race detector may make a test.
const raceFactor = 10
