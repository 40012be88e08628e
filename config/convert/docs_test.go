package convert_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-registry/berth/config"
	"github.com/berth-registry/berth/config/convert"
)

var fence = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// TestDocs converts each input of docs/convert.md with the command on the page and compares the
// result with the block that follows.
func TestDocs(t *testing.T) {
	commands, examples := docsExamples(t)
	for i, command := range commands {
		words := strings.Fields(command)
		if len(words) != 5 || strings.Join(words[:3], " ") != "berth convert --from" {
			t.Fatalf("unexpected command %q", command)
		}
		result, err := convert.Convert(convert.Format(words[3]), words[4], []byte(examples[2*i]), convert.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(string(result.YAML), "apiVersion:")
		if got := "apiVersion:" + body; got != examples[2*i+1] {
			t.Errorf("%s: got\n%s\nthe page shows\n%s", command, got, examples[2*i+1])
		}
		if len(result.Lost) > 0 {
			t.Errorf("%s: lost %v", command, result.Lost)
		}
		yaml := strings.ReplaceAll(string(result.YAML), "/etc/pki/proxy.pem", writeCertificates(t)+"/ca.pem")
		if _, _, err := config.Parse("converted.yaml", []byte(yaml)); err != nil {
			t.Error(err)
		}
	}
}

// docsExamples returns the commands of the page, and its inputs and results alternating.
func docsExamples(t *testing.T) (commands, examples []string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/convert.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range fence.FindAllStringSubmatch(string(page), -1) {
		if m[1] == "sh" {
			commands = append(commands, strings.Split(strings.TrimSpace(m[2]), "\n")...)
		} else {
			examples = append(examples, m[2])
		}
	}
	if len(commands) != len(convert.Formats()) || len(examples) != 2*len(commands) {
		t.Fatalf("%d commands and %d examples", len(commands), len(examples))
	}
	return commands, examples
}
