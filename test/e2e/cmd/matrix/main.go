// Command matrix pulls past every form of foreign hosts.toml file with one containerd of each line,
// and prints the hosts that they ask as a table in Markdown. It exits with 1 if a daemon does not
// behave as hostsconf predicts, or if a credential that the provider returns reaches another host.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/berth-registry/berth/test/e2e/matrix"
	"github.com/berth-registry/berth/test/e2e/parts"
	"github.com/berth-registry/berth/test/foreignforms"
)

func main() {
	only := flag.String("releases", "", "some releases instead of all, comma-separated")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *only, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, only string, out, progress io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("containerd needs root: run it as root")
	}
	programs, err := parts.ProvideMatrix(ctx, progress)
	if err != nil {
		return err
	}
	set, err := parts.Locate(ctx)
	if err != nil {
		return err
	}
	if only != "" {
		programs = slices.DeleteFunc(programs, func(c parts.Containerd) bool {
			return !slices.Contains(strings.Split(only, ","), c.Version)
		})
	}
	began, forms := time.Now(), foreignforms.All()
	cells := map[string][]string{}
	wrong, withheld := 0, 0
	for _, program := range programs {
		fmt.Fprintf(progress, "containerd %s: %d forms\n", program.Version, len(forms))
		err := matrix.Run(ctx, program, set.Runc, forms, func(r matrix.Result) {
			cells[r.Form] = append(cells[r.Form], cell(r))
			if text := r.Wrong(); text != "" {
				wrong++
				fmt.Fprintf(progress, "containerd %s: %s: %s\n", program.Version, r.Form, text)
			}
			if len(r.Reached) > 0 && !r.Given {
				withheld++
			}
		})
		if err != nil {
			return fmt.Errorf("containerd %s: %w", program.Version, err)
		}
	}
	fmt.Fprintf(out, "%d forms, %d releases, %d pulls in %s on %s; %d differ from what hostsconf says or leak, %d would leak without the provider's decision.\n\n",
		len(forms), len(programs), len(forms)*len(programs), time.Since(began).Round(time.Second), began.UTC().Format(time.DateOnly), wrong, withheld)
	table(out, programs, forms, cells)
	if wrong > 0 {
		return fmt.Errorf("%d of %d pulls are not as hostsconf says", wrong, len(forms)*len(programs))
	}
	return nil
}

func table(out io.Writer, programs []parts.Containerd, forms []foreignforms.Form, cells map[string][]string) {
	fmt.Fprint(out, "| form |")
	for _, p := range programs {
		fmt.Fprintf(out, " %s |", p.Version)
	}
	fmt.Fprint(out, "\n|---|"+strings.Repeat("---|", len(programs))+"\n")
	for _, form := range forms {
		fmt.Fprintf(out, "| %s | %s |\n", form.Name, strings.Join(cells[form.Name], " | "))
	}
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
