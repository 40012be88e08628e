package source

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/berth-registry/berth/internal/textpos"
)

// JSON reads a JSON document, in which dockerd accepts nothing of YAML.
func JSON(in *Input, data []byte) *Value {
	if !in.checkText(data) {
		return nil
	}
	var document any
	var syntax *json.SyntaxError
	if err := json.Unmarshal(data, &document); errors.As(err, &syntax) &&
		strings.TrimSpace(string(data)) != "" {
		line, column := textpos.New(data).Of(max(0, int(syntax.Offset)-1))
		in.FailAt(line, column, "", "is not valid JSON here; check commas, quotes and brackets")
		return nil
	}
	return YAML(nil)(in, data)
}
