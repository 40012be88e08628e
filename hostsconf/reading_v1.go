package hostsconf

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	tomlv1 "github.com/pelletier/go-toml"
)

// Limits for go-toml v1, whose time grows with the square of the input and whose stack grows with
// the nesting depth. No real hosts.toml comes near them.
const (
	maxV1      = 32 << 10
	maxV1Depth = 100
)

// checkV1 refuses content that go-toml v1 would need a long time or a large stack to read.
func checkV1(content []byte) error {
	if len(content) > maxV1 {
		return fmt.Errorf("%w: it is larger than %d KiB, the limit for reading it as containerd 1.x", errNotRead, maxV1>>10)
	}
	depth, deepest := 0, 0
	for _, c := range content {
		switch c {
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth--
		}
	}
	if deepest > maxV1Depth {
		return fmt.Errorf("%w: it is nested deeper than %d levels", errNotRead, maxV1Depth)
	}
	if bytes.Count(content, []byte(".")) > maxV1/4 {
		return fmt.Errorf("%w: it is nested too deep", errNotRead)
	}
	return nil
}

// loadV1 reads content with go-toml v1 and returns nil if that fails. The caller must have called
// [checkV1].
func loadV1(content []byte) (tree *tomlv1.Tree) {
	defer func() {
		if recover() != nil {
			tree = nil
		}
	}()
	tree, err := tomlv1.LoadBytes(content)
	if err != nil {
		return nil
	}
	return tree
}

// lacksHostTable reports whether containerd up to 1.7.31 ignores a file that it can parse, because
// the file has no [host] table.
func lacksHostTable(content []byte) bool {
	tree := loadV1(content)
	if tree == nil {
		return false
	}
	_, ok := tree.Get("host").(*tomlv1.Tree)
	return !ok
}

// crashes reports whether containerd 1.6 and 1.7 crash on a file: they compare the positions of
// all values below [host], which they expect to be tables.
func crashes(content []byte) bool {
	if checkV1(content) != nil {
		return false
	}
	tree := loadV1(content)
	if tree == nil {
		return false
	}
	hosts, ok := tree.Get("host").(*tomlv1.Tree)
	if !ok || len(hosts.Keys()) < 2 {
		return false
	}
	return slices.ContainsFunc(hosts.Keys(), func(name string) bool {
		_, table := hosts.GetPath([]string{name}).(*tomlv1.Tree)
		return !table
	})
}

// tlsFilesV1 lists the files that go-toml v1 finds under ca and client.
func tlsFilesV1(content []byte) []string {
	if checkV1(content) != nil {
		return nil
	}
	tree := loadV1(content)
	if tree == nil {
		return nil
	}
	names := tlsFilesOf(tree)
	if hosts, ok := tree.Get("host").(*tomlv1.Tree); ok {
		for _, name := range hosts.Keys() {
			if host, ok := hosts.GetPath([]string{name}).(*tomlv1.Tree); ok {
				names = append(names, tlsFilesOf(host)...)
			}
		}
	}
	return names
}

func tlsFilesOf(table *tomlv1.Tree) []string {
	var names []string
	for _, key := range table.Keys() {
		if strings.EqualFold(key, "ca") || strings.EqualFold(key, "client") {
			names = append(names, stringsIn(table.GetPath([]string{key}))...)
		}
	}
	return names
}

// stringsIn lists the strings in a TOML value, including those in nested arrays.
func stringsIn(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, each := range v {
			all = append(all, stringsIn(each)...)
		}
		return all
	}
	return nil
}
