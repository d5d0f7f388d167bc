//go:build !linux && !darwin && !freebsd

package store

import (
	"math"
	"os"
)

// freeBytes knows no bound where there is no call for it.
func freeBytes(*os.File) (int64, error) { return math.MaxInt64, nil }
