// Command foreignforms pulls past every form of foreign hosts.toml file with the containerd that
// $BERTH_RELEASES names, and prints the hosts that each form makes it ask. It exits with 1 if the
// daemon does not behave as hostsconf predicts, or if a credential that the provider returns reaches
// another host.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/berth-registry/berth/test/e2e/matrix"
	"github.com/berth-registry/berth/test/e2e/parts"
	"github.com/berth-registry/berth/test/foreignforms"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "foreignforms:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("containerd needs root: run it as root")
	}
	set, err := parts.Locate(ctx)
	if err != nil {
		return err
	}
	if len(set.Containerd) != 1 {
		return errors.New("BERTH_RELEASES: name one release of containerd, for example 2.4.2")
	}
	forms := foreignforms.All()
	wrong, withheld := 0, 0
	err = matrix.Run(ctx, set.Containerd[0], set.Runc, forms, func(r matrix.Result) {
		fmt.Fprintf(out, "form: %s: %s\n", r.Form, cell(r))
		if text := r.Wrong(); text != "" {
			wrong++
			fmt.Fprintf(out, "--- FAIL: %s\n    %s\n", r.Form, text)
		}
		if len(r.Reached) > 0 && !r.Given {
			withheld++
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "matrix: %d forms, %d would leak without the provider's decision\n", len(forms), withheld)
	if wrong > 0 {
		return fmt.Errorf("%d of %d pulls are not as hostsconf says", wrong, len(forms))
	}
	return nil
}

// cell returns the hosts that are asked as one word.
func cell(r matrix.Result) string {
	var words []string
	for _, address := range r.Got {
		words = append(words, word(address))
	}
	if len(words) == 0 {
		words = []string{"fails"}
	}
	slices.Sort(words)
	text := strings.Join(slices.Compact(words), ", ")
	if r.Wrong() != "" {
		text = "**" + text + "**"
	}
	return text
}

func word(address string) string {
	for prefix, word := range map[string]string{
		"https://" + foreignforms.Registry: "registry", foreignforms.Second: "second",
		"http://127.0.0.1": "http", "http://[::1]": "IPv6", "https://mirror": "mirror",
	} {
		if strings.HasPrefix(address, prefix) {
			return word
		}
	}
	return address
}
