package hostsconf

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	tomlv1 "github.com/pelletier/go-toml"
)

// go-toml v1 takes time that grows with the square of what it reads, and a
// stack that grows with its depth. No hosts.toml comes near to these.
const (
	maxV1      = 32 << 10
	maxV1Depth = 100
)

// checkV1 refuses what go-toml v1 would take long, or a large stack, to read.
func checkV1(content []byte) error {
	if len(content) > maxV1 {
		return fmt.Errorf("%w: it is larger than the %d KiB that are read as containerd 1.x reads them", errNotRegular, maxV1>>10)
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
		return fmt.Errorf("%w: it is nested more than %d deep", errNotRegular, maxV1Depth)
	}
	if bytes.Count(content, []byte(".")) > maxV1/4 {
		return fmt.Errorf("%w: it is nested too deep", errNotRegular)
	}
	return nil
}

// loadV1 reads content with go-toml v1, nil where it cannot. It expects what
// [checkV1] lets through.
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

// lacksHostTable reports whether containerd up to 1.7.31 drops a file that it
// can parse, because it finds no [host] table in it.
func lacksHostTable(content []byte) bool {
	tree := loadV1(content)
	if tree == nil {
		return false
	}
	_, ok := tree.Get("host").(*tomlv1.Tree)
	return !ok
}

// crashes reports whether containerd 1.6 and 1.7 crash on a file, for which they
// compare the lines of the tables below [host].
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

// tlsFilesV1 lists what go-toml v1 finds under ca and client.
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

// stringsIn lists the strings in a value of TOML, however deep in arrays.
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
