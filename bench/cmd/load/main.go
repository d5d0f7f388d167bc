// Command load is the client of the benchmark: it reads a plan as JSON and prints the
// result as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/berth-cache/berth/bench/load"
	"github.com/berth-cache/berth/bench/process"
)

func main() {
	process.Main("load", run)
}

func run(ctx context.Context, _ []string) error {
	var p load.Plan
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	result, err := load.Run(ctx, p)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}
