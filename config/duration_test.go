package config_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/config"
)

func TestDurations(t *testing.T) {
	const year = 365 * 24 * time.Hour
	tests := []struct {
		text string
		want time.Duration
	}{
		{"0s", 0},
		{"0d", 0},
		{"90s", 90 * time.Second},
		{"1.5h", 90 * time.Minute},
		{"7d", 7 * 24 * time.Hour},
		{"1d12h", 36 * time.Hour},
		{"1d1h1m1s", 25*time.Hour + 61*time.Second},
		{"36500d", 100 * year},
		{"106751d", 106751 * 24 * time.Hour},
		{"forever", config.Forever},
		{`"forever"`, config.Forever},
	}
	for _, test := range tests {
		u := only(t, `url: "https://a.example", validity: `+test.text)
		if diff := cmp.Diff(test.want, u.Validity); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.text, diff)
		}
	}
}

func TestFaultsOfDurations(t *testing.T) {
	const not = " is no duration; write a number with a unit, such as 90s, 15m, 24h or 30d"
	tests := []struct{ text, want string }{
		{`""`, `""` + not},
		{"1.5d", `"1.5d"` + not},
		{"d", `"d"` + not},
		{"1w", `"1w"` + not},
		{"1h2d", `"1h2d"` + not},
		{"1d2d", `"1d2d"` + not},
		{"1d-2h", `"1d-2h"` + not},
		{"+1h", `"+1h"` + not},
		{"24 h", `"24 h"` + not},
		{"Forever", `"Forever"` + not},
		{"300000h1y", `"300000h1y"` + not},
		{"3000000h", `"3000000h"` + not},
		{"-forever", `"-forever" is negative; write 0s or more`},
		{"106752d", `"106752d" is too long; write at most 100000d`},
		{"106751d24h", `"106751d24h" is too long; write at most 100000d`},
		{"99999999999999999999d", `"99999999999999999999d"` + not},
	}
	var all []faultTest
	for _, test := range tests {
		all = append(all, faultTest{test.text, "upstreams: {a: {url: \"https://a.example\",\n  validity: " + test.text + "}}\n", "berth.yaml:2: upstreams.a.validity: " + test.want})
	}
	testFaults(t, all)
}
