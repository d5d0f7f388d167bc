package report

import (
	"fmt"
	"math"
	"time"
)

// format writes a value for people: three digits that count, and the unit.
func (u Unit) format(v float64) string {
	switch u {
	case Seconds:
		d := time.Duration(v * float64(time.Second))
		return rounded(d).String()
	case Bytes:
		return binary(v)
	case PerCPU, Rate:
		return decimal(v)
	case Times:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

// rounded keeps three digits of a duration.
func rounded(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d.Abs()/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}

func binary(v float64) string {
	for _, s := range []struct {
		size float64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if math.Abs(v) >= s.size {
			return fmt.Sprintf("%.3g %s", v/s.size, s.name)
		}
	}
	return fmt.Sprintf("%.0f B", v)
}

func decimal(v float64) string {
	for _, s := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= s.size {
			return fmt.Sprintf("%.3g%s", v/s.size, s.name)
		}
	}
	return fmt.Sprintf("%.3g", v)
}
