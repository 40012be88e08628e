// Command pause waits for a signal to stop. A pod sandbox runs it; it is linked statically and
// needs no base image.
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
