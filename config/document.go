package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxBytes bounds a configuration file: thousands of upstreams fit.
const maxBytes = 1 << 20

// document parses data as one YAML document and returns its root, or nil when there is
// nothing in it or a fault was added.
func (d *decoder) document(data []byte) *yaml.Node {
	if len(data) > maxBytes {
		d.fault(0, "", "is larger than 1 MiB; is this the right file?")
		return nil
	}
	if line, what := unreadable(data); what != "" {
		d.fault(line, "", what)
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		d.syntaxFault(data, err)
		return nil
	}
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntaxFault(data, err)
		return nil
	default:
		d.fault(second.Line, "", "a second YAML document starts here; keep one, and remove the line ---")
		return nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		return nil
	}
	return root
}

// unreadable returns the first line that is not text, and what is wrong with it. YAML's
// own messages for these name no line.
func unreadable(data []byte) (line int, what string) {
	line = 1
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && n == 1:
			return line, "is not UTF-8; save the file as UTF-8"
		case r < ' ' && !strings.ContainsRune("\t\n\r", r), r >= 0x7f && r < 0xa0 && r != 0x85, r == 0xfffe, r == 0xffff:
			return line, fmt.Sprintf("holds the control character %U; remove it", r)
		case r == '\n':
			line++
		}
		data = data[n:]
	}
	return 0, ""
}
