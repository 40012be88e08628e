// Package docs holds a test of the pages: the files and Go names that they name
// exist, their links lead to a file and a heading, and each page is in the index
// of its directory. What a page says about the programs is tested beside each
// program; package targets tests the make commands.
package docs
