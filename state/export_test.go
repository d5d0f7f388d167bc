package state

import (
	"context"
	"net"

	"github.com/redis/go-redis/v9"
	"go.etcd.io/bbolt"
)

const (
	SweepEvery = sweepEvery
	SweepBatch = sweepBatch
	GateRest   = gateRest
)

// HoldWrites lets no batch begin until release is called.
func (b *Bolt) HoldWrites() (release func() error, err error) {
	tx, err := b.db.Begin(true)
	if err != nil {
		return nil, err
	}
	return tx.Rollback, nil
}

// Queued tells how many writes wait behind the first.
func (b *Bolt) Queued() int { return len(b.writes) }

// Commits tells how many transactions have been committed.
func (b *Bolt) Commits() (n int, err error) {
	err = b.db.View(func(tx *bbolt.Tx) error {
		n = tx.ID()
		return nil
	})
	return n, err
}

// Rows tells how many entries and how many expiries are in the file, expired or not.
func (b *Bolt) Rows() (rows [2]int, err error) {
	err = b.db.View(func(tx *bbolt.Tx) error {
		t := tablesOf(tx)
		for i, bucket := range []*bbolt.Bucket{t.entries, t.expiries} {
			rows[i] = bucket.Inspect().KeyN
		}
		return nil
	})
	return rows, err
}

// OnDial calls fn before every dial.
func (r *Redis) OnDial(fn func()) {
	client := r.client.(*redis.Client)
	client.AddHook(dialHook(fn))
}

// Down tells whether the gate refuses calls.
func (r *Redis) Down() bool {
	r.gate.mu.Lock()
	defer r.gate.mu.Unlock()
	return !r.gate.until.IsZero()
}

// SetLen tells how many names are in the set of keys, dead ones included.
func (r *Redis) SetLen(ctx context.Context) (int64, error) {
	return r.client.ZCard(ctx, r.setKey()).Result()
}

// Keys returns all keys of the server.
func (r *Redis) Keys(ctx context.Context) ([]string, error) {
	return r.client.Keys(ctx, "*").Result()
}

type dialHook func()

func (h dialHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		h()
		return next(ctx, network, addr)
	}
}

func (dialHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (dialHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
