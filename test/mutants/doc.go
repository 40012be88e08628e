// Command mutants guards the tests while code is moved. It breaks one place of
// a package at a time, runs the package's own tests on it, and compares the
// outcome with record.txt: a mutant that was killed must not survive. Start at
// main.go; docs/mutants.md says how to read a failure and write the record.
//
// The tree is not changed: go build reads the broken file through -overlay.
package main
