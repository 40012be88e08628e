// Command pause does nothing until it is told to stop. It is what a pod
// sandbox runs; linked statically, it needs no base image.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
}
