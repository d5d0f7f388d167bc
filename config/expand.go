package config

import (
	"fmt"
	"regexp"
	"strings"
)

var variable = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)(:-.*)?$`)

// expand replaces ${X}, ${X:-default} and $$ in s, once: what it puts in is not looked at
// again. A $ before anything else stays, since passwords hold them. It returns what is
// wrong, in words for a fault.
func expand(s string, env func(string) (string, bool)) (string, []string) {
	var (
		b      strings.Builder
		faults []string
	)
	for {
		before, after, found := strings.Cut(s, "$")
		b.WriteString(before)
		switch {
		case !found:
			return b.String(), faults
		case strings.HasPrefix(after, "$"):
			b.WriteByte('$')
			s = after[1:]
		case strings.HasPrefix(after, "{"):
			inner, rest, closed := strings.Cut(after[1:], "}")
			if !closed {
				return "", append(faults, "has a ${ that no } closes; close it, or write $${ for a literal ${")
			}
			text, fault := lookup(inner, env)
			if fault != "" {
				faults = append(faults, fault)
			}
			b.WriteString(text)
			s = rest
		default:
			b.WriteByte('$')
			s = after
		}
	}
}

// lookup returns the value of what stands between ${ and }, or what is wrong with it. As
// in a shell, :- also replaces a variable that is set to nothing.
func lookup(inner string, env func(string) (string, bool)) (text, fault string) {
	m := variable.FindStringSubmatch(inner)
	if m == nil {
		// The inner text is not repeated: it may be part of a password.
		return "", "has a ${…} that names no variable; write ${NAME} or ${NAME:-default}, or $${ for a literal ${"
	}
	name, fallback := m[1], m[2]
	set := false
	if env != nil {
		text, set = env(name)
	}
	switch {
	case fallback != "" && text == "":
		return strings.TrimPrefix(fallback, ":-"), ""
	case !set:
		return "", fmt.Sprintf("the variable %s is not set; set it, or write ${%s:-default}", name, name)
	}
	return text, ""
}
