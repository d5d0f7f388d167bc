package config

import "strconv"

// count reads a whole number of at least least.
func (v value) count(into *int, least int) bool {
	var s string
	if v.node == nil {
		return true
	}
	if !v.word(&s) {
		return false
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > 1_000_000_000 {
		return v.faultf("%s is no whole number of at least %d; write one", show(s), least)
	}
	*into = n
	return true
}
