// Command upstream is the synthetic registry of the benchmark. Its argument is the
// conditions as JSON; it prints the address of its control desk and runs until a signal.
package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/berth-cache/berth/bench/process"
	"github.com/berth-cache/berth/bench/upstream"
)

func main() {
	process.Main("upstream", run)
}

func run(ctx context.Context, args []string) error {
	var c upstream.Conditions
	if len(args) != 1 {
		return fmt.Errorf("usage: upstream CONDITIONS")
	}
	if err := json.Unmarshal([]byte(args[0]), &c); err != nil {
		return fmt.Errorf("conditions: %w", err)
	}
	s, err := upstream.Serve(ctx, c)
	if err != nil {
		return err
	}
	fmt.Println(s.Control())
	<-ctx.Done()
	return s.Close()
}
