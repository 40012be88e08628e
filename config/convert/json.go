package convert

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/berth-registry/berth/internal/textpos"
)

// readJSON reads a JSON document, in which dockerd accepts nothing of YAML.
func readJSON(in *input, data []byte) *value {
	if !in.checkText(data) {
		return nil
	}
	var document any
	var syntax *json.SyntaxError
	if err := json.Unmarshal(data, &document); errors.As(err, &syntax) && strings.TrimSpace(string(data)) != "" {
		line, column := textpos.New(data).Of(max(0, int(syntax.Offset)-1))
		in.failAt(line, column, "", "is not valid JSON here; check commas, quotes and brackets")
		return nil
	}
	return readYAML(nil)(in, data)
}
