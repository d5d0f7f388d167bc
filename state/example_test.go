package state_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/berth-cache/berth/state"
)

func Example() {
	dir, err := os.MkdirTemp("", "berth")
	if err != nil {
		panic(err)
	}
	defer func() { fmt.Println(os.RemoveAll(dir)) }()

	store, err := state.OpenBolt(filepath.Join(dir, "state.db"), state.BoltOptions{})
	if err != nil {
		panic(err)
	}
	defer func() { fmt.Println(store.Close()) }()

	ctx := context.Background()
	for _, key := range []string{"pointer/3.13", "pointer/3.12", "other"} {
		if err := store.Put(ctx, key, []byte("sha256:1"), 0); err != nil {
			panic(err)
		}
	}
	swap := state.Swap{Old: []byte("sha256:0"), New: []byte("sha256:2")}
	err = store.CompareAndSwap(ctx, "pointer/3.13", swap)
	fmt.Println("moved by somebody else:", errors.Is(err, state.ErrConflict))

	entries, err := store.Scan(ctx, state.Range{Prefix: "pointer/", Limit: 100})
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		fmt.Printf("%s = %s\n", e.Key, e.Value)
	}
	// Output:
	// moved by somebody else: true
	// pointer/3.12 = sha256:1
	// pointer/3.13 = sha256:1
	// <nil>
	// <nil>
}
