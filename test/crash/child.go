package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand"
	"os"
	"syscall"

	"github.com/berth-registry/berth/internal/nodefs"
)

// The child's output, from which the driver knows its position when it was killed.
const (
	sayBegin = "<"
	sayEnd   = ">"
	sayStep  = "!" // followed by the step at which it kills itself, and a newline
)

// child writes random changes until it is killed, by the driver or, at step -at, by itself.
func child(args []string, out io.Writer) error {
	f := flag.NewFlagSet("child", flag.ContinueOnError)
	dir := f.String("dir", "", "root of the node")
	name := f.String("writer", berthWriter, "writer")
	seed := f.Int64("seed", 1, "seed of the contents")
	at := f.Int("at", 0, "the step to die at; 0: none")
	if err := f.Parse(args); err != nil {
		return err
	}
	var step func(nodefs.Step) error
	if *at > 0 {
		n := 0
		step = func(s nodefs.Step) error {
			if n++; n < *at {
				return nil
			}
			fmt.Fprintf(out, "%s%s\n", sayStep, s.Op)
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				return err
			}
			select {} // it takes a moment
		}
	}
	w, err := openWriter(*name, *dir, step)
	if err != nil {
		return err
	}
	defer w.close()
	rnd := rand.New(rand.NewSource(*seed))
	for {
		files := wanted(rnd)
		fmt.Fprint(out, sayBegin)
		if err := w.apply(files); err != nil {
			return err
		}
		fmt.Fprint(out, sayEnd)
	}
}
