package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Fault is one thing that is wrong with a configuration file.
type Fault struct {
	// File is the file's name as it was given to Load or Parse.
	File string
	// Line counts from 1; 0 is the file as a whole.
	Line int
	// Key is the dotted path of the key, such as upstreams.quay.hosts[0]; empty where the
	// fault is not a key's.
	Key string
	// Message says what is wrong and, after a semicolon, what to write instead.
	Message string
}

// Error returns "file:line: key: message", which editors and terminals make a link of.
func (f Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		b.WriteString(":" + strconv.Itoa(f.Line))
	}
	if f.Key != "" {
		b.WriteString(": " + f.Key)
	}
	return b.String() + ": " + f.Message
}

// Faults are all the faults of one file, sorted by line; never empty as an error.
type Faults []Fault

// Error returns one fault a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted orders faults by line; those of one line stay in the order they were found.
func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int { return a.Line - b.Line })
	return f
}

// maxShown is how many characters of a text from the file a message repeats.
const maxShown = 60

// show quotes text from the file for a message, so that it can neither break the line nor
// fill the screen. It must not be given a secret.
func show(s string) string {
	if r := []rune(s); len(r) > maxShown {
		s = string(r[:maxShown]) + "…"
	}
	return strconv.Quote(s)
}

// label is a key as a path shows it: as it is where that is plain, else quoted. What
// follows a colon is left out: `password:secret` without its space is a key to YAML.
func label(key string) string {
	key, _, _ = strings.Cut(key, ":")
	for _, r := range key {
		plain := r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !plain {
			return show(key)
		}
	}
	if key == "" || len(key) > maxShown {
		return show(key)
	}
	return key
}

// join appends a key to a path.
func join(path, key string) string {
	if path == "" {
		return label(key)
	}
	return fmt.Sprintf("%s.%s", path, label(key))
}
