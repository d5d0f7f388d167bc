package state

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrNotFound says that a key is absent or has expired.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that a compare-and-swap found another value than it expected.
	ErrConflict = errors.New("value changed meanwhile")
	// ErrUnavailable says that the engine cannot be reached or is closed. Callers
	// treat it as "not known": it must never fail a pull.
	ErrUnavailable = errors.New("state unavailable")
)

const (
	// MaxKeyBytes is the longest key a Store takes.
	MaxKeyBytes = 1024
	// MaxValueBytes is the largest value a Store takes.
	MaxValueBytes = 8 << 20
)

// Entry is one key with its value.
type Entry struct {
	Key   string
	Value []byte
}

// Swap is a conditional write. A nil Old expects the key to be absent; a nil New
// deletes it. An empty non-nil slice is a value.
type Swap struct {
	Old, New []byte
	// TTL is how long New lives; zero is for ever.
	TTL time.Duration
}

// Range selects entries whose key starts with Prefix and sorts after After
// (bytewise; empty starts at the first), at most Limit of them (which must be positive).
type Range struct {
	Prefix, After string
	Limit         int
}

// Store is a small ordered key-value store. Keys are non-empty valid UTF-8 of at most
// MaxKeyBytes, values at most MaxValueBytes; anything else is an error that is none of
// the sentinels. Every method may return ErrUnavailable or the context's error. A value
// handed in is not kept, a value handed out is the caller's own. A write that returned
// nil survives a crash of the process (Bolt: of the machine).
type Store interface {
	// Get returns the value of key, or ErrNotFound.
	Get(ctx context.Context, key string) ([]byte, error)
	// Put sets key to value for ttl; a zero ttl is for ever.
	Put(ctx context.Context, key string, value []byte, ttl time.Duration) error
	// CompareAndSwap applies the swap atomically, or returns ErrConflict.
	CompareAndSwap(ctx context.Context, key string, swap Swap) error
	// Delete removes key; an absent key is no error.
	Delete(ctx context.Context, key string) error
	// Scan returns live entries in ascending bytewise order of their keys.
	Scan(ctx context.Context, r Range) ([]Entry, error)
}
