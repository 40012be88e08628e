package providerconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// ourEntry is Berth's entry in the manifest.
func ourEntry() (Entry, error) {
	e, ok := entryIn(Config())
	if !ok {
		return e, fmt.Errorf("the manifest of the credential provider: %w", errNotConfig)
	}
	return e, nil
}

// entryIn finds Berth's entry in a CredentialProviderConfig.
func entryIn(data []byte) (Entry, bool) {
	entries, _ := Parse(data)
	at := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == Provider })
	if at < 0 {
		return Entry{}, false
	}
	return entries[at], true
}

var errByHand = errors.New("cannot be edited without changing the rest; add or remove the entry of " + Provider + " by hand")

// parseConfig returns a CredentialProviderConfig as plain values, and the names of its providers.
// kubelet would ignore a second document; an edit would lose it.
func parseConfig(data []byte) (values map[string]any, names []string, err error) {
	entries, err := Parse(data)
	if err != nil {
		return nil, nil, err
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&values); err != nil {
		return nil, nil, errNotConfig
	}
	if err := d.Decode(new(any)); err == nil {
		return nil, nil, errNotConfig
	}
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return values, names, nil
}

// Names gives the names of the providers in a CredentialProviderConfig.
func Names(data []byte) ([]string, error) {
	_, names, err := parseConfig(data)
	return names, err
}

// AddEntry appends Berth's entry with what is wanted, and keeps every other byte. An existing entry
// stays as it is unless an image or an annotation is missing: then it is replaced by one that has all
// of its own too.
func AddEntry(data []byte, want Wanted) ([]byte, error) {
	images, require := want.Images, want.RequireRules
	_, names, err := parseConfig(data)
	if err != nil {
		return data, err
	}
	e, err := ourEntry()
	if err != nil {
		return nil, err
	}
	e.MatchImages = append(e.MatchImages, missing(images, e.MatchImages)...)
	if require {
		e.Args = []string{RequireRules}
	}
	e.TokenAttributes = e.TokenAttributes.with(want.RoleAnnotations)
	if slices.Contains(names, Provider) {
		now, _ := entryIn(data)
		lacks := missing(images, now.MatchImages)
		attributes := now.TokenAttributes.with(want.RoleAnnotations)
		if len(lacks) == 0 && reflect.DeepEqual(attributes, now.TokenAttributes) {
			return data, nil
		}
		e.TokenAttributes = attributes
		e.MatchImages = append(now.MatchImages, lacks...)
		e.Args = append(now.Args, missing(e.Args, now.Args)...)
		without, err := RemoveEntry(data)
		if ok := err == nil && plain(data); !ok && len(lacks) == 0 {
			return nil, fmt.Errorf("kubelet passes no token of the pod's service account to %s; add tokenAttributes to its entry by hand", Provider)
		} else if !ok {
			return nil, fmt.Errorf("kubelet does not ask %s about %s, whose login the RegistryConfig holds; add it to matchImages of its entry by hand", Provider, strings.Join(lacks, ", "))
		}
		data = without
	}
	return appendEntry(data, e)
}

// appendEntry appends an entry to the others.
func appendEntry(data []byte, e Entry) ([]byte, error) {
	before, _, err := parseConfig(data)
	if err != nil {
		return nil, err
	}
	var after []byte
	if isJSON(data) {
		after, err = addJSON(data, e)
	} else {
		after, err = addYAML(data, e)
	}
	if err != nil {
		return nil, err
	}
	var ours any
	raw, err := json.Marshal(e)
	if err == nil {
		err = yaml.Unmarshal(raw, &ours)
	}
	if err != nil {
		return nil, err
	}
	before["providers"] = append(slices.Clone(before["providers"].([]any)), ours)
	return after, sameConfig(after, before)
}

// RemoveEntry removes Berth's entry, and keeps every other byte. Without such an entry it changes
// nothing.
func RemoveEntry(data []byte) ([]byte, error) {
	before, names, err := parseConfig(data)
	if err != nil {
		return nil, err
	}
	at := slices.Index(names, Provider)
	switch {
	case at < 0:
		return data, nil
	case len(names) == 1:
		return nil, fmt.Errorf("no provider would be left, and kubelet does not start without one")
	}
	var after []byte
	if isJSON(data) {
		after, err = removeJSON(data, at)
	} else {
		after, err = removeYAML(data, at)
	}
	if err != nil {
		return nil, err
	}
	before["providers"] = slices.Delete(slices.Clone(before["providers"].([]any)), at, at+1)
	return after, sameConfig(after, before)
}

// sameConfig checks an edit: only the intended values may have changed.
func sameConfig(data []byte, want map[string]any) error {
	got, _, err := parseConfig(data)
	if err != nil || !reflect.DeepEqual(got, want) {
		return errByHand
	}
	return nil
}

func isJSON(data []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) }

// span is a part of a file: from is its first byte or line, to is the one after its last.
type span struct{ from, to int }

// jsonProviders finds the elements of "providers".
func jsonProviders(data []byte) ([]span, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var skipped json.RawMessage
		if name != "providers" {
			if err := d.Decode(&skipped); err != nil {
				return nil, err
			}
			continue
		}
		if open, err := d.Token(); err != nil || open != json.Delim('[') {
			return nil, errByHand
		}
		var all []span
		for d.More() {
			from := int(d.InputOffset())
			for from < len(data) && strings.ContainsRune(" \t\r\n,", rune(data[from])) {
				from++
			}
			if err := d.Decode(&skipped); err != nil {
				return nil, err
			}
			all = append(all, span{from, int(d.InputOffset())})
		}
		return all, nil
	}
	return nil, errByHand
}

func addJSON(data []byte, e Entry) ([]byte, error) {
	all, err := jsonProviders(data)
	if err != nil || len(all) == 0 {
		return nil, errByHand
	}
	last := all[len(all)-1]
	indent, alone := lineIndent(data, last.from)
	var text []byte
	between := ", "
	if alone {
		unit := "  "
		if strings.Contains(indent, "\t") {
			unit = "\t"
		} else if len(indent)%4 == 0 && len(indent) > 4 {
			unit = "    "
		}
		between = "," + lineEnd(data) + indent
		text, err = json.MarshalIndent(e, indent, unit)
		text = bytes.ReplaceAll(text, []byte("\n"), []byte(lineEnd(data)))
	} else {
		text, err = json.Marshal(e)
	}
	if err != nil {
		return nil, err
	}
	return slices.Concat(data[:last.to], []byte(between), text, data[last.to:]), nil
}

func removeJSON(data []byte, at int) ([]byte, error) {
	all, err := jsonProviders(data)
	if err != nil || at >= len(all) {
		return nil, errByHand
	}
	if at > 0 { // and the comma before it
		return slices.Concat(data[:all[at-1].to], data[all[at].to:]), nil
	}
	return slices.Concat(data[:all[0].from], data[all[1].from:]), nil
}

// lineIndent returns the text before a byte in its line, and whether that is all blanks.
func lineIndent(data []byte, at int) (string, bool) {
	start := bytes.LastIndexByte(data[:at], '\n') + 1
	before := string(data[start:at])
	return before, strings.TrimLeft(before, " \t") == ""
}

func lineEnd(data []byte) string {
	if bytes.Contains(data, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

// yamlProviders finds the lines of each item of "providers", a list in block style. Comments and
// blank lines after the last line of an item do not belong to it. Lines are counted from 0.
func yamlProviders(data []byte) (items []span, lines []string, indent string, err error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, nil, "", errByHand
	}
	lines = strings.SplitAfter(string(data), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	fields := doc.Content[0].Content
	end := len(lines)
	var list *yaml.Node
	for i := 0; i+1 < len(fields); i += 2 {
		if list != nil {
			end = fields[i].Line - 1
			break
		}
		if fields[i].Value == "providers" {
			list = fields[i+1]
		}
	}
	if list == nil || list.Kind != yaml.SequenceNode || list.Style&yaml.FlowStyle != 0 {
		return nil, nil, "", errByHand
	}
	for _, item := range list.Content {
		items = append(items, span{from: item.Line - 1})
	}
	for i := range items {
		to := end
		if i+1 < len(items) {
			to = items[i+1].from
		}
		for to > items[i].from+1 {
			if text := strings.TrimSpace(lines[to-1]); text != "" && !strings.HasPrefix(text, "#") {
				break
			}
			to--
		}
		items[i].to = to
		text := strings.TrimLeft(lines[items[i].from], " ")
		own := lines[items[i].from][:len(lines[items[i].from])-len(text)]
		if !strings.HasPrefix(text, "- ") || i > 0 && own != indent {
			return nil, nil, "", errByHand
		}
		indent = own
	}
	return items, lines, indent, nil
}

func addYAML(data []byte, e Entry) ([]byte, error) {
	items, lines, indent, err := yamlProviders(data)
	if err != nil || len(items) == 0 {
		return nil, errByHand
	}
	end := lineEnd(data)
	var text strings.Builder
	for _, line := range []string{"- name: " + e.Name, "  apiVersion: " + e.APIVersion, "  matchImages:"} {
		text.WriteString(indent + line + end)
	}
	for _, image := range e.MatchImages {
		fmt.Fprintf(&text, "%s  - %q%s", indent, image, end)
	}
	fmt.Fprintf(&text, "%s  defaultCacheDuration: %q%s", indent, e.DefaultCacheDuration, end)
	if len(e.Args) > 0 {
		args, err := json.Marshal(e.Args)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&text, "%s  args: %s%s", indent, args, end)
	}
	for _, line := range e.TokenAttributes.lines() {
		text.WriteString(indent + "  " + line + end)
	}
	at := items[len(items)-1].to
	before := strings.Join(lines[:at], "")
	added := text.String()
	if !strings.HasSuffix(before, "\n") {
		before += end
		added = strings.TrimSuffix(added, end) // the file had no last line end
	}
	return []byte(before + added + strings.Join(lines[at:], "")), nil
}

func removeYAML(data []byte, at int) ([]byte, error) {
	items, lines, _, err := yamlProviders(data)
	if err != nil || at >= len(items) {
		return nil, errByHand
	}
	return []byte(strings.Join(lines[:items[at].from], "") + strings.Join(lines[items[at].to:], "")), nil
}
