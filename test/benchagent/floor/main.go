// Floor is the minimum cost of a daemon with a status page: a Go program with an HTTP server. It
// prints its address.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	fmt.Fprintln(os.Stderr, http.Serve(l, http.NotFoundHandler()))
	os.Exit(1)
}
