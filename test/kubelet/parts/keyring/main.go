// Command keyring answers which credentials a kubelet would pull an image with.
// It loads a CredentialProviderConfig and runs the providers with kubelet's own
// code, of whatever version it was built with.
//
//	keyring CONFIG BIN-DIR
//
// Each line of standard input is an image as in a pod; each gets one line of
// JSON, an [answer]. One process is one kubelet: it remembers what a provider
// allowed it to. Standard error is kubelet's log. A configuration that kubelet
// would refuse to start with is exit status 3, with the reason on standard
// error.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/util/parsers"
)

// credential is what kubelet passes to the container runtime: no host.
type credential struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// answer lists the credentials that kubelet tries, in this order. Without any,
// it pulls anonymously.
type answer struct {
	Repository  string       `json:"repository"` // what the provider was asked for
	Credentials []credential `json:"credentials"`
}

const refused = 3

func main() {
	klog.InitFlags(nil)
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: keyring CONFIG BIN-DIR")
		os.Exit(2)
	}
	if err := register(flag.Arg(0), flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(refused)
	}
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(images io.Reader, answers io.Writer) error {
	lines := bufio.NewScanner(images)
	out := json.NewEncoder(answers)
	for lines.Scan() {
		// As kubelet does before it asks: tag and digest go, docker.io comes.
		repository, _, _, err := parsers.ParseImageName(lines.Text())
		if err != nil {
			return err
		}
		found := lookup(repository)
		klog.Flush()
		if err := out.Encode(answer{Repository: repository, Credentials: found}); err != nil {
			return err
		}
	}
	return lines.Err()
}
