package config

import (
	"strconv"
	"strings"
	"time"
)

// Rate is how many of something there may be in a time; the zero value is any number.
type Rate struct {
	Requests int
	Per      time.Duration
}

// String is the rate as it is written: 100/m.
func (r Rate) String() string {
	for unit, per := range rateUnits {
		if per == r.Per {
			return strconv.Itoa(r.Requests) + "/" + unit
		}
	}
	return "none"
}

var rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// rate reads a number in a time: 1/s, 100/m, 5000/h.
func (v value) rate(into *Rate) bool {
	var s string
	if v.node == nil {
		return true
	}
	if !v.word(&s) {
		return false
	}
	number, unit, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(number)
	per := rateUnits[unit]
	if err != nil || n < 1 || n > 1_000_000 || per == 0 {
		return v.faultf("%s is no rate; write a number in a second, minute or hour, such as 1/s, 100/m or 5000/h", show(s))
	}
	*into = Rate{n, per}
	return true
}
