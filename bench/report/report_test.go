package report_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/bench/report"
)

// samples are rounds with one value each.
func samples(key string, values ...float64) []report.Sample {
	var all []report.Sample
	for _, v := range values {
		s := report.Sample{}
		s.Set(key, v)
		all = append(all, s)
	}
	return all
}

func row() report.Row {
	return report.Row{
		Name: "warm", Title: "a title",
		Columns: []report.Column{
			{Key: "rate", Title: "requests/CPU s", Unit: report.PerCPU, Against: []string{"floor", "nginx"}},
			{Key: "p99", Title: "p99", Unit: report.Seconds},
		},
		Contenders: []report.Contender{
			{Name: "floor", Rounds: samples("rate", 60_000, 30_000, 66_000)},
			{Name: "nginx", Notes: []string{"not measured: it is not installed"}},
			// Round 2 was disturbed for both: the ratio is what stays.
			{Name: "berth", Rounds: samples("rate", 48_000, 24_000, 52_800)},
		},
	}
}

func TestTable(t *testing.T) {
	r := row()
	r.Judge([]report.Budget{
		{Column: "rate", Sense: report.AtLeast, Limit: 0.75, Against: "floor"},
		{Column: "rate", Sense: report.AtLeast, Limit: 50_000},
		{Column: "rate", Sense: report.AtMost, Limit: 1, Against: "nginx"},
		{Column: "p99", Sense: report.AtMost, Limit: 0.002},
	})
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := `
warm: a title
         requests/CPU s   × floor  × nginx  p99
  floor  60k (30k–66k)    1.00     -        -
  berth  48k (24k–52.8k)  0.80     -        -
  nginx: not measured: it is not installed
  budget: berth requests/CPU s ≥ 0.75 × floor: 0.80 pass
  budget: berth requests/CPU s ≥ 50k: 48k MISS
  budget: berth requests/CPU s ≤ 1 × nginx: not measured
  budget: berth p99 ≤ 2ms: not measured
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFailedRowIsNamed(t *testing.T) {
	var b strings.Builder
	r := report.Row{Name: "cold", Title: "a title", Failed: "the upstream did not start"}
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	if want := "\ncold: a title\n  not measured: the upstream did not start\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func TestJudgeAtTheLimit(t *testing.T) {
	for name, c := range map[string]struct {
		sense report.Sense
		value float64
		want  string
	}{
		"at least, at it":    {report.AtLeast, 2, report.Pass},
		"at least, below it": {report.AtLeast, 1.99, report.Miss},
		"at most, at it":     {report.AtMost, 2, report.Pass},
		"at most, above it":  {report.AtMost, 2.01, report.Miss},
		"no value":           {report.AtMost, math.NaN(), report.Unmeasured},
		"endless":            {report.AtLeast, math.Inf(1), report.Unmeasured},
	} {
		t.Run(name, func(t *testing.T) {
			r := report.Row{Contenders: []report.Contender{{Name: "berth", Rounds: samples("x", c.value)}}}
			r.Judge([]report.Budget{{Column: "x", Sense: c.sense, Limit: 2}})
			if got := r.Verdicts[0].Outcome; got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestUnits(t *testing.T) {
	column := func(u report.Unit, v float64) string {
		r := report.Row{
			Columns:    []report.Column{{Key: "x", Title: "x", Unit: u}},
			Contenders: []report.Contender{{Name: "berth", Rounds: samples("x", v)}},
		}
		var b strings.Builder
		if err := r.Write(&b); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(lines[len(lines)-1]), "berth"))
	}
	for _, c := range []struct {
		unit  report.Unit
		value float64
		want  string
	}{
		{report.Seconds, 0.0981234, "98.1ms"},
		{report.Seconds, 61.74, "1m1.7s"},
		{report.Seconds, 0.00000042, "420ns"},
		{report.Bytes, 100 << 20, "100 MiB"},
		{report.Bytes, 512, "512 B"},
		{report.PerCPU, 66_123, "66.1k"},
		{report.Rate, 3.9e9, "3.9G"},
		{report.Rate, 12.3, "12.3"},
		{report.Times, 1, "1.00"},
		{report.Count, 1000, "1000"},
	} {
		if got := column(c.unit, c.value); got != c.want {
			t.Errorf("%g %s: %q, want %q", c.value, c.unit, got, c.want)
		}
	}
}

func TestRunForBoth(t *testing.T) {
	m, err := report.ThisMachine()
	if err != nil {
		t.Fatal(err)
	}
	if m.CPU == "" || m.Processors < 1 || m.Memory == 0 || !strings.HasPrefix(m.Kernel, "Linux ") {
		t.Errorf("machine %+v", m)
	}
	m = report.Machine{Date: time.Date(2026, 11, 21, 1, 2, 0, 0, time.UTC), CPU: "a processor", Processors: 4, Versions: []string{"nginx 1"}}
	run := report.Run{Machine: m, Settings: "5 rounds", Rows: []report.Row{row()}}
	var b, j strings.Builder
	if err := run.WriteHeader(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2026-11-21 01:02 UTC", "a processor, 4 processors", "nginx 1", "5 rounds", "on all"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the header lacks %q:\n%s", want, b.String())
		}
	}
	if err := run.WriteJSON(&j); err != nil {
		t.Fatal(err)
	}
	var got report.Run
	if err := json.Unmarshal([]byte(j.String()), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(run, got); diff != "" {
		t.Errorf("JSON loses something (-want +got):\n%s", diff)
	}
}
