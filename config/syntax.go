package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

type remedy struct{ problem, write string }

// remedies say what to do about the messages of the YAML parser, most of which leave
// that open.
var remedies = []remedy{
	{"did not find expected ',' or", "close the bracket or brace that opens here, and put values that hold any of { } [ ] , in quotes"},
	{"did not find expected node content", "put values that hold any of { } [ ] , in quotes"},
	{"did not find expected key", "indent the line like the key it belongs beside"},
	{"did not find expected '-' indicator", "indent the line like the key it belongs beside"},
	{"mapping values are not allowed", "put values that hold a colon and a space in quotes, and indent keys of one block alike"},
	{"could not find expected ':'", "write key: value, with a space after the colon"},
	{"found character that cannot start any token", "indent with spaces, not tabs, and put values that start with any of @ ` % in quotes"},
	{"found unexpected end of stream", "close the quote"},
	{"alias", "write the value out, or in quotes if it starts with *"},
	{"", "check quotes, colons and indentation"},
}

var parserError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxFault adds the fault that err, from the YAML parser, is.
func (d *decoder) syntaxFault(data []byte, err error) {
	reported, problem := 0, err.Error()
	if m := parserError.FindStringSubmatch(problem); m != nil {
		problem = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil { // none for the first line
			reported = n
		}
	}
	line := correct(data, reported, problem)
	if strings.HasPrefix(problem, "unknown anchor") {
		problem = "alias of nothing" // the parser's words repeat it, and it may be a password that starts with *
	}
	i := slices.IndexFunc(remedies, func(r remedy) bool { return strings.HasPrefix(problem, r.problem) })
	// The parser may stand behind the last newline, where an editor has no line.
	last := 1 + bytes.Count(bytes.TrimRight(data, "\r\n"), []byte("\n"))
	d.fault(min(line, last), "", fmt.Sprintf("is not valid YAML: %s; %s", problem, remedies[i].write))
}

// correct returns the line where the mistake is. The parser's own line is right only for
// its scanner's errors: the others count from 0, and tell where the block began.
func correct(data []byte, reported int, problem string) int {
	switch {
	case strings.HasPrefix(problem, "did not find expected key"), strings.HasPrefix(problem, "did not find expected '-'"):
		return firstBad(data, problem)
	case strings.HasPrefix(problem, "did not find expected ',' or"),
		strings.HasPrefix(problem, "did not find expected node content"),
		strings.HasPrefix(problem, "did not find expected <"),
		strings.HasPrefix(problem, "found undefined tag"):
		return reported + 1
	case strings.HasPrefix(problem, "unknown anchor"):
		name, _, _ := strings.Cut(strings.TrimPrefix(problem, "unknown anchor '"), "'")
		before, _, _ := bytes.Cut(data, []byte("*"+name))
		return 1 + bytes.Count(before, []byte("\n"))
	}
	return max(1, reported)
}

// firstBad returns the first line with which data has the problem: what stands before
// that line parses, or fails otherwise because it is cut off.
func firstBad(data []byte, problem string) int {
	lines := bytes.SplitAfter(data, []byte("\n"))
	ends, end := make([]int, len(lines)), 0
	for i, line := range lines {
		end += len(line)
		ends[i] = end
	}
	return 1 + sort.Search(len(ends)-1, func(i int) bool {
		dec := yaml.NewDecoder(bytes.NewReader(data[:ends[i]]))
		var err error
		for err == nil {
			err = dec.Decode(new(yaml.Node))
		}
		return !errors.Is(err, io.EOF) && strings.HasSuffix(err.Error(), problem)
	})
}
