package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder walks the nodes of one file and collects what is wrong with them.
type decoder struct {
	file   string
	folder string // where relative paths start
	env    func(string) (string, bool)
	open   bool   // whether the files that the configuration names are looked at
	files  []File // that were
	faults Faults
}

func (d *decoder) fault(line int, key, message string) {
	d.faults = append(d.faults, Fault{File: d.file, Line: line, Key: key, Message: message})
}

// value is a node with the way that leads to it. Its readers leave their target as it is
// when the key is absent, and return false if, and only if, they added a fault.
type value struct {
	*decoder
	node *yaml.Node // nil when the key is absent
	line int        // of the key it would belong to when absent
	path string
}

// faultf adds a fault about v and returns false.
func (v value) faultf(format string, args ...any) bool {
	v.fault(v.line, v.path, fmt.Sprintf(format, args...))
	return false
}

// pair is one entry of a mapping.
type pair struct {
	key  string
	line int // of the key
	value
}

// keyFaultf adds a fault about the key rather than its value, and returns false.
func (p pair) keyFaultf(format string, args ...any) bool {
	p.fault(p.line, p.path, fmt.Sprintf(format, args...))
	return false
}

// pairs returns the entries of a mapping in the file's order, without duplicates and keys
// that are no text, which are faults.
func (v value) pairs() ([]pair, bool) {
	if v.node == nil {
		return nil, true
	}
	if !v.is(yaml.MappingNode) {
		return nil, false
	}
	var pairs []pair
	fine, lines := true, map[string]int{}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key, node := v.node.Content[i], v.node.Content[i+1]
		at := value{v.decoder, node, key.Line, join(v.path, key.Value)}
		if node.Kind == yaml.ScalarNode && node.ShortTag() != "!!null" {
			at.line = node.Line
		}
		first, twice := lines[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || key.Anchor != "" || key.ShortTag() == "!!merge":
			at.line, at.path = key.Line, v.path
			fine = at.faultf("has a key that is not plain text; write each key out, without & * << and brackets")
		case twice:
			at.line = key.Line
			fine = at.faultf("is here twice, first in line %d; keep one", first)
		default:
			lines[key.Value] = key.Line
			pairs = append(pairs, pair{key.Value, key.Line, at})
		}
	}
	return pairs, fine
}

// fields are the entries of a mapping whose keys are known.
type fields struct {
	at value
	of map[string]value // nil when the fault is that it is no mapping
}

// fields reads a mapping that may have these keys; others are faults.
func (v value) fields(known []string) fields {
	pairs, fine := v.pairs()
	if pairs == nil && !fine {
		return fields{at: v}
	}
	f := fields{at: v, of: make(map[string]value, len(pairs))}
	for _, p := range pairs {
		switch guess := nearest(p.key, known); {
		case slices.Contains(known, p.key):
			f.of[p.key] = p.value
		case strings.Contains(p.key, ":"):
			p.keyFaultf("is no key here; write a space after the colon")
		case guess != "":
			p.keyFaultf("is no key here; did you mean %s?", guess)
		default:
			p.keyFaultf("is no key here; the keys are %s", strings.Join(known, ", "))
		}
	}
	return f
}

// get returns the value of key, whether or not it is there.
func (f fields) get(key string) value {
	if v, found := f.of[key]; found {
		return v
	}
	return value{f.at.decoder, nil, f.at.line, join(f.at.path, key)}
}

// items returns the elements of a list.
func (v value) items() ([]value, bool) {
	if v.node == nil {
		return nil, true
	}
	if !v.is(yaml.SequenceNode) {
		return nil, false
	}
	var items []value
	for i, node := range v.node.Content {
		items = append(items, value{v.decoder, node, node.Line, fmt.Sprintf("%s[%d]", v.path, i)})
	}
	return items, true
}

// is tells whether v, which is there, is of the kind; if not it adds the fault.
func (v value) is(kind yaml.Kind) bool {
	n := v.node
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return v.faultf("uses a YAML anchor or alias; write the value out, or in quotes if it starts with & or *")
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && kind == yaml.ScalarNode:
		return v.faultf("has no value; write one, in quotes if it starts with #, or remove the key")
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		return v.faultf("has no value; write %s, or remove the key", kinds[kind].write)
	case n.Kind == kind && kind != yaml.ScalarNode && !slices.Contains([]string{"!!map", "!!seq"}, n.ShortTag()):
		return v.faultf("has a YAML tag; remove the tag")
	case n.Kind == kind:
		return true
	}
	return v.faultf("is %s; write %s", kinds[n.Kind].is, kinds[kind].write)
}

var kinds = map[yaml.Kind]struct{ is, write string }{
	yaml.MappingNode:  {"a block of keys", "keys with their values, one a line and indented"},
	yaml.SequenceNode: {"a list", "a list: [a, b]"},
	yaml.ScalarNode:   {"a single value", "a single value"},
}
