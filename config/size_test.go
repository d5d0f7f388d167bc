package config_test

import (
	"testing"

	"github.com/berth-cache/berth/config"
)

func TestSizes(t *testing.T) {
	for _, test := range []struct {
		text string
		want int64
	}{
		{"0", 0},
		{`"0"`, 0},
		{"0B", 0},
		{"512B", 512},
		{"4kB", 4000},
		{"4KB", 4000},
		{"4KiB", 4096},
		{"20MB", 20_000_000},
		{"512MiB", 512 << 20},
		{"100GiB", 100 << 30},
		{"100GB", 100_000_000_000},
		{"1.5TiB", 3 << 39},
		{"2TB", 2_000_000_000_000},
		{"1000000TiB", 1_000_000 << 40},
	} {
		if got := parse(t, "cache: {max_size: "+test.text+"}\n").Cache.MaxSize; got != test.want {
			t.Errorf("%s: %d, want %d", test.text, got, test.want)
		}
	}
}

func TestFaultsOfSizes(t *testing.T) {
	const cure = "; write a number with a unit, such as 512MiB or 100GiB"
	var all []faultTest
	for _, test := range []struct{ text, want string }{
		{`""`, `"" is no size` + cure},
		{"100", `"100" has no unit` + cure},
		{"1.5", `"1.5" has no unit` + cure},
		{"100G", `"100G" is no size` + cure},
		{"100 GiB", `"100 GiB" is no size` + cure},
		{"100gib", `"100gib" is no size` + cure},
		{"GiB", `"GiB" is no size` + cure},
		{"1.2.3GiB", `"1.2.3GiB" is no size` + cure},
		{"1e3GiB", `"1e3GiB" is no size` + cure},
		{"+1GiB", `"+1GiB" is no size` + cure},
		{"0x1MiB", `"0x1MiB" is no size` + cure},
		{"5%", `"5%" is no size` + cure},
		{"-1GiB", `"-1GiB" is negative; write 0 or more`},
		{"8388608TiB", `"8388608TiB" is too large; write at most 1000000TiB`},
		{"[1GiB]", "is a list; write a single value"},
	} {
		all = append(all, faultTest{test.text, "cache:\n  min_free: " + test.text + "\n", "berth.yaml:2: cache.min_free: " + test.want})
	}
	testFaults(t, all)
}

func TestCache(t *testing.T) {
	got := parse(t, "cache: {max_size: 100GiB, min_free: 0, scrub: 0}\n").Cache
	if want := (config.Cache{MaxSize: 100 << 30}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := parse(t, "cache: {}\n").Cache, (config.Cache{MinFree: 1 << 30, Scrub: 10 << 20}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
