package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/berth-cache/berth/bench/stat"
)

// Write writes the row for people.
func (r Row) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %s\n", r.Name, r.Title)
	if r.Failed != "" {
		fmt.Fprintf(&b, "  not measured: %s\n", r.Failed)
	}
	lines := [][]string{r.head()}
	for _, c := range r.Contenders {
		if len(c.Rounds) > 0 {
			lines = append(lines, r.line(c))
		}
	}
	if len(lines) > 1 {
		align(&b, lines)
	}
	for _, c := range r.Contenders {
		for _, note := range c.Notes {
			fmt.Fprintf(&b, "  %s: %s\n", c.Name, note)
		}
	}
	for _, v := range r.Verdicts {
		fmt.Fprintf(&b, "  budget: %s %s: %s\n", subject, v.Budget, strings.TrimSpace(v.Shown+" "+v.Outcome))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Row) head() []string {
	cells := []string{""}
	for _, c := range r.Columns {
		cells = append(cells, c.Title)
		for _, other := range c.Against {
			cells = append(cells, "× "+other)
		}
	}
	return cells
}

func (r Row) line(c Contender) []string {
	cells := []string{c.Name}
	for _, column := range r.Columns {
		cells = append(cells, spread(c.values(column.Key), column.Unit))
		for _, other := range column.Against {
			cells = append(cells, spread(c.ratios(r.contender(other), column.Key), Times))
		}
	}
	return cells
}

// spread is a median with the least and the greatest, if there is more than one value.
func spread(values []float64, u Unit) string {
	switch s := stat.Of(values); len(values) {
	case 0:
		return "-"
	case 1:
		return u.format(s.Median)
	default:
		low, high := u.format(s.Min), u.format(s.Max)
		if low == high {
			return u.format(s.Median)
		}
		return fmt.Sprintf("%s (%s–%s)", u.format(s.Median), low, high)
	}
}

// align writes cells below each other.
func align(b *strings.Builder, lines [][]string) {
	widths := make([]int, len(lines[0]))
	for _, cells := range lines {
		for i, cell := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, cells := range lines {
		var line strings.Builder
		for i, cell := range cells {
			line.WriteString("  " + cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}
