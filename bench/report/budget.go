package report

import (
	"fmt"
	"math"

	"github.com/berth-cache/berth/bench/stat"
)

// subject is who has budgets.
const subject = "berth"

// Budget is what berth has to keep to in one column.
type Budget struct {
	Column string
	// Sense is AtLeast or AtMost.
	Sense Sense
	// Limit is a value of the column, or, with Against, a ratio to that contender's.
	Limit   float64
	Against string
}

// Sense is the side of a limit that is good.
type Sense string

// The senses.
const (
	AtLeast Sense = "≥"
	AtMost  Sense = "≤"
)

// Verdict is a budget held against what was measured.
type Verdict struct {
	Budget string `json:"budget"`
	// Measured is nil where berth or the one it is compared with has no value.
	Measured *float64 `json:"measured"`
	// Shown is Measured for people.
	Shown string `json:"shown,omitempty"`
	// Outcome is pass, miss or not measured.
	Outcome string `json:"outcome"`
}

// The outcomes.
const (
	Pass       = "pass"
	Miss       = "MISS"
	Unmeasured = "not measured"
)

// Judge holds budgets against what the row measured: the median of the values, or of the
// rounds' ratios.
func (r *Row) Judge(budgets []Budget) {
	for _, b := range budgets {
		column := r.column(b.Column)
		v := Verdict{Budget: b.text(column), Outcome: Unmeasured}
		values := r.contender(subject).values(b.Column)
		if b.Against != "" {
			values = r.contender(subject).ratios(r.contender(b.Against), b.Column)
		}
		if m := stat.Of(values).Median; !math.IsNaN(m) {
			v.Measured, v.Outcome, v.Shown = &m, Miss, b.unit(column).format(m)
			if b.Sense == AtLeast && m >= b.Limit || b.Sense == AtMost && m <= b.Limit {
				v.Outcome = Pass
			}
		}
		r.Verdicts = append(r.Verdicts, v)
	}
}

func (r *Row) column(key string) Column {
	for _, c := range r.Columns {
		if c.Key == key {
			return c
		}
	}
	return Column{Key: key, Title: key, Unit: Times}
}

func (b Budget) text(c Column) string {
	if b.Against != "" {
		return fmt.Sprintf("%s %s %.4g × %s", c.Title, b.Sense, b.Limit, b.Against)
	}
	return fmt.Sprintf("%s %s %s", c.Title, b.Sense, c.Unit.format(b.Limit))
}

// unit is that of what is held against the limit.
func (b Budget) unit(c Column) Unit {
	if b.Against != "" {
		return Times
	}
	return c.Unit
}
