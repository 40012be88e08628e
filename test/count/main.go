// Command count prints how many lines of Go hold code: lines with a token other than a comment.
// Tests and everything below test/ are left out. The figures of the documentation come from it.
package main

import (
	"fmt"
	"go/scanner"
	"go/token"
	"log"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	out, err := exec.Command("git", "ls-files", "*.go").Output()
	if err != nil {
		log.Fatalf("count: git ls-files: %v", err)
	}
	lines := map[string]int{} // by folder
	total := 0
	for _, name := range strings.Fields(string(out)) {
		if strings.HasPrefix(name, "test/") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			log.Fatalf("count: %v", err)
		}
		n := codeLines(source)
		folder, _, _ := strings.Cut(name, "/")
		lines[folder] += n
		total += n
	}
	folders := make([]string, 0, len(lines))
	for folder := range lines {
		folders = append(folders, folder)
	}
	slices.Sort(folders)
	for _, folder := range folders {
		fmt.Printf("%-14s %6d\n", folder, lines[folder])
	}
	fmt.Printf("%-14s %6d\n", "total", total)
}

// codeLines counts the lines of a Go file that have a token. Each line of a raw string counts.
func codeLines(source []byte) int {
	var s scanner.Scanner
	set := token.NewFileSet()
	file := set.AddFile("", set.Base(), len(source))
	s.Init(file, source, nil, 0)
	found := map[int]bool{}
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return len(found)
		}
		if tok == token.SEMICOLON && text == "\n" {
			continue // inserted by the scanner
		}
		first := file.Line(pos)
		for i := range strings.Count(text, "\n") + 1 {
			found[first+i] = true
		}
	}
}
