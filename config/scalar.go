package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// word reads a value that has a syntax of its own, such as an address, a name or a
// duration. Quotes around it do not matter.
func (v value) word(into *string) bool {
	if v.node == nil {
		return true
	}
	if !v.is(yaml.ScalarNode) {
		return false
	}
	switch v.node.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
	default:
		return v.faultf("has a YAML tag; remove the tag, or put the value in quotes if it starts with !")
	}
	text, faults := expand(v.node.Value, v.env)
	for _, fault := range faults {
		v.faultf("%s", fault)
	}
	if len(faults) > 0 {
		return false
	}
	*into = text
	return true
}

// text reads free text. What YAML takes for a number is refused rather than passed on:
// the next reader of the file would not know which of 010, 1_0 and 1e3 is a password.
// The faults never repeat the value, which may be a secret.
func (v value) text(into *string) bool {
	if v.node != nil && v.node.Kind == yaml.ScalarNode {
		if is, found := notText[v.node.ShortTag()]; found {
			return v.faultf("is %s where text belongs; put it in quotes", is)
		}
	}
	return v.word(into)
}

var notText = map[string]string{
	"!!int": "a number", "!!float": "a number", "!!bool": "true or false", "!!timestamp": "a date",
}

// flag reads true or false.
func (v value) flag(into *bool) bool {
	var s string
	if v.node == nil {
		return true
	}
	if !v.word(&s) {
		return false
	}
	if s != "true" && s != "false" {
		return v.faultf("%s is neither true nor false; write one of them", show(s))
	}
	*into = s == "true"
	return true
}

// choice reads one of the words.
func (v value) choice(into *string, words []string) bool {
	var s string
	if v.node == nil {
		return true
	}
	if !v.word(&s) {
		return false
	}
	if !slices.Contains(words, s) {
		return v.faultf("%s is not known; write one of %s", show(s), strings.Join(words, ", "))
	}
	*into = s
	return true
}

// words reads a list of words, with the place of each.
func (v value) words() ([]pair, bool) {
	items, fine := v.items()
	var words []pair
	for _, item := range items {
		var s string
		if !item.word(&s) {
			fine = false
			continue
		}
		words = append(words, pair{s, item.line, item})
	}
	return words, fine
}
