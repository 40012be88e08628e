// Floor is the least that a credential provider in Go can do: it decodes the request on stdin,
// reads the file that its argument names, and prints it. Its time is mostly the start of the
// process.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	var request struct{ Image string }
	if err := json.NewDecoder(os.Stdin).Decode(&request); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
	token, err := os.ReadFile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
	fmt.Printf("%s", token)
}
