package soak_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"github.com/berth-cache/berth/e2e/soak/process"
)

var (
	// binary is the program under test.
	binary string
	// full asks for the long forms.
	full = os.Getenv("BERTH_SOAK") == "1"
	// seed decides what happens.
	seed uint64 = 1
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	if text := os.Getenv("BERTH_SOAK_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			return 1, fmt.Errorf("BERTH_SOAK_SEED: %w", err)
		}
	}
	folder, err := os.MkdirTemp("", "berth-soak-")
	if err != nil {
		return 1, fmt.Errorf("folder for the program: %w", err)
	}
	code := 1
	if binary, err = process.Build(context.Background(), "../..", folder); err == nil {
		fmt.Printf("seed %d, full %v\n", seed, full)
		code = m.Run()
	}
	if code == 0 {
		// A link of toxiproxy that a toxic cut off may wait for ever to hand on what it read.
		err = goleak.Find(
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		)
	}
	return code, errors.Join(err, os.RemoveAll(folder))
}

// of is the short form's number, or the full one's.
func of(short, long int) int {
	if full {
		return long
	}
	return short
}
