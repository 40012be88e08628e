package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// standInSocket is the environment variable with the address at which a test answers stand-ins.
const standInSocket = "BERTH_STAND_IN"

// TestMain is also the stand-ins of other programs: the test's own binary under their names. They
// pass their arguments to the test.
func TestMain(m *testing.M) {
	if socket := os.Getenv(standInSocket); socket != "" {
		os.Exit(standIn(socket, append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...)))
	}
	os.Exit(m.Run())
}

// answer is what a stand-in prints, and its exit code.
type answer struct {
	Output string
	Code   int
}

func standIn(socket string, args []string) int {
	var a answer
	conn, err := net.Dial("unix", socket)
	if err == nil {
		defer conn.Close()
		if err = json.NewEncoder(conn).Encode(args); err == nil {
			err = json.NewDecoder(conn).Decode(&a)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stand-in of", args[0]+":", err)
		return 1
	}
	fmt.Print(a.Output)
	return a.Code
}

// call is one run of a stand-in.
type call struct {
	args  []string
	reply chan answer
}

// listenForStandIns returns the calls of stand-ins that connect to socket.
func listenForStandIns(t *testing.T, socket string) <-chan call {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, l.Close()) })
	calls := make(chan call)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			c := call{reply: make(chan answer, 1)}
			if json.NewDecoder(conn).Decode(&c.args) == nil {
				select {
				case calls <- c:
					_ = json.NewEncoder(conn).Encode(<-c.reply) // it may have been killed
				case <-t.Context().Done():
				}
			}
			_ = conn.Close()
		}
	}()
	return calls
}
