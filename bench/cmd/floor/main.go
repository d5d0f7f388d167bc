// Command floor serves a stock (see package floor): `floor ADDRESS FOLDER`, with the stock
// as JSON on standard input.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/berth-cache/berth/bench/floor"
	"github.com/berth-cache/berth/bench/process"
)

func main() {
	process.Main("floor", run)
}

func run(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: floor ADDRESS FOLDER")
	}
	var stock floor.Stock
	if err := json.NewDecoder(os.Stdin).Decode(&stock); err != nil {
		return fmt.Errorf("read stock: %w", err)
	}
	h, err := floor.New(stock, args[1])
	if err != nil {
		return err
	}
	return process.Serve(ctx, args[0], h)
}
