// Command keyring returns the credentials that kubelet would pull an image with. It loads a
// CredentialProviderConfig and runs the providers with kubelet's own code, of the version that it
// was built with.
//
//	keyring CONFIG BIN-DIR
//	keyring -logins TREE [-dir DIRECTORY] ROOT-DIR
//
// The second form reads the node's own logins instead, as a kubelet with ROOT-DIR whose root is TREE
// and whose working directory is DIRECTORY. It first prints how long it keeps them.
//
// Each line of standard input is an image as in a pod; for each it prints one line of JSON, an
// [answer]. One process is one kubelet: it caches answers as long as the provider allows. Standard
// error is kubelet's log. For a configuration with which kubelet would not start, the exit status
// is 3 and standard error has the reason.
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

// credential is a login that kubelet passes to the container runtime, without a host.
type credential struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// answer has the credentials that kubelet tries, in this order. Without any, it pulls anonymously.
type answer struct {
	Repository  string       `json:"repository"` // what the provider was asked for
	Credentials []credential `json:"credentials"`
}

const refused = 3

func main() {
	klog.InitFlags(nil)
	tree := flag.String("logins", "", "read the node's own logins, in this tree")
	dir := flag.String("dir", "/", "the working directory in the tree")
	flag.Parse()
	if *tree != "" && flag.NArg() == 1 {
		if err := logins(*tree, *dir, flag.Arg(0)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: keyring CONFIG BIN-DIR, or keyring -logins TREE ROOT-DIR")
		os.Exit(2)
	}
	if err := register(flag.Arg(0), flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(refused)
	}
	if err := serve(os.Stdin, os.Stdout, lookup); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func logins(tree, dir, rootDir string) error {
	if err := enter(tree, dir); err != nil {
		return err
	}
	keyring := nodeLogins(rootDir)
	kept, err := lifetime(keyring)
	if err != nil {
		return err
	}
	fmt.Println(kept)
	return serve(os.Stdin, os.Stdout, nodeLookup(keyring))
}

func serve(images io.Reader, answers io.Writer, lookup func(string) []credential) error {
	lines := bufio.NewScanner(images)
	out := json.NewEncoder(answers)
	for lines.Scan() {
		// As kubelet does before it asks: remove tag and digest, add docker.io.
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
