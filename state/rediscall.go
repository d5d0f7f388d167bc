package state

import (
	"context"
	"errors"
)

// call asks Redis through the gate. Its errors are the context's or an *outage.
//
// fn runs apart from the caller, with a time limit of its own: a caller who leaves is
// released at once, and one with less patience than Redis deserves does not hide from the
// gate that Redis is down. fn must not touch what belongs to the caller.
func call[T any](ctx context.Context, r *Redis, fn func(context.Context) (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	probe, err := r.gate.enter()
	if err != nil {
		return none, err
	}
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		defer r.gate.done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*r.timeout)
		defer cancel()
		value, err := fn(ctx)
		if err != nil {
			err = newOutage(err, r.password)
		}
		r.leave(probe, err) // before the answer, so that the caller's next call finds the gate shut
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// leave reports a call's end to the gate, and to the log what changed by it.
func (r *Redis) leave(probe bool, err error) {
	down, _ := errors.AsType[*outage](err)
	if down != nil && !down.down {
		down = nil
	}
	if !r.gate.leave(probe, down) {
		return
	}
	if down != nil {
		r.log.Warn("redis is unavailable", "error", down.text)
		return
	}
	r.log.Info("redis is available again")
}
