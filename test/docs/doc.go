// Package docs holds a test of the pages: the files, Go names and make targets
// that they name exist, and their links lead somewhere. What a page says about
// the programs is tested beside each program.
package docs
