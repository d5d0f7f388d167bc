package process

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// CPUs are processors by number, in order and without duplicates.
type CPUs []int

// maxCPU bounds the numbers of processors.
const maxCPU = 1023

// ParseCPUs reads processors as taskset has them: "0-1,4". Empty is none.
func ParseCPUs(text string) (CPUs, error) {
	var c CPUs
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		low, high, ranged := strings.Cut(part, "-")
		if !ranged {
			high = low
		}
		from, err := strconv.Atoi(low)
		if err != nil {
			return nil, fmt.Errorf("processors %q: %w", text, err)
		}
		to, err := strconv.Atoi(high)
		if err != nil {
			return nil, fmt.Errorf("processors %q: %w", text, err)
		}
		if from < 0 || to < from || to > maxCPU {
			return nil, fmt.Errorf("processors %q: %q is no range", text, part)
		}
		for n := from; n <= to; n++ {
			c = append(c, n)
		}
	}
	slices.Sort(c)
	return slices.Compact(c), nil
}

// Without are those of the first count processors that are not in c.
func (c CPUs) Without(count int) CPUs {
	var rest CPUs
	for n := range count {
		if !slices.Contains(c, n) {
			rest = append(rest, n)
		}
	}
	return rest
}

// String is in the form that ParseCPUs reads.
func (c CPUs) String() string {
	var parts []string
	for _, n := range c {
		parts = append(parts, strconv.Itoa(n))
	}
	return strings.Join(parts, ",")
}
