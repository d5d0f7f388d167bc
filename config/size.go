package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// units are what a size may be counted in, largest first, so that the suffix B comes last.
var units = []struct {
	name  string
	bytes float64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"KB", 1e3},
	{"B", 1},
}

// parseSize reads a number of bytes with a unit: 100GiB, 1.5TiB, 20MB, or 0. It returns
// what is wrong, in words for a fault.
func parseSize(s string) (bytes int64, fault string) {
	const cure = "write a number with a unit, such as 512MiB or 100GiB"
	switch {
	case s == "0":
		return 0, ""
	case strings.HasPrefix(s, "-"):
		return 0, fmt.Sprintf("%s is negative; write 0 or more", show(s))
	case s != "" && strings.Trim(s, "0123456789.") == "":
		return 0, fmt.Sprintf("%s has no unit; %s", show(s), cure)
	}
	number, factor := s, 0.0
	for _, u := range units {
		if rest, found := strings.CutSuffix(s, u.name); found {
			number, factor = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || factor == 0 || strings.Trim(number, "0123456789.") != "" {
		return 0, fmt.Sprintf("%s is no size; %s", show(s), cure)
	}
	if n *= factor; n >= math.MaxInt64 {
		return 0, fmt.Sprintf("%s is too large; write at most 1000000TiB", show(s))
	}
	return int64(n), ""
}

// size reads a number of bytes of 0 or more.
func (v value) size(into *int64) bool {
	var s string
	if v.node == nil {
		return true
	}
	if !v.word(&s) {
		return false
	}
	n, fault := parseSize(s)
	if fault != "" {
		return v.faultf("%s", fault)
	}
	*into = n
	return true
}
