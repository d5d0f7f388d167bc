package store

import (
	"errors"
	"testing"
	"testing/synctest"
)

// TestFirstInLine: what goes, goes for the first of those who wait. Who has no room beside
// what that one gets is told so, and nothing goes for it.
func TestFirstInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newRoom(Limits{MaxBytes: 10_000}, nil)
		m.account(Usage{Objects: 9, Bytes: 9000}, 0)
		first, second := make(chan error, 1), make(chan error, 1)
		for _, result := range []chan error{first, second} {
			go func() { result <- m.take(t.Context(), 6000, anySpace) }()
			synctest.Wait()
		}
		if excess, wait := m.grant(anySpace, anySpace, true); excess != 9000+6000-9500 || !wait {
			t.Errorf("%d bytes have to go, wait %t", excess, wait)
		}
		m.account(Usage{Objects: 3, Bytes: 3000}, 0)
		if excess, wait := m.grant(anySpace, anySpace, true); excess != 0 || wait {
			t.Errorf("%d bytes have to go after that, wait %t", excess, wait)
		}
		if err := <-first; err != nil {
			t.Errorf("the first: %v", err)
		}
		if err := <-second; !errors.Is(err, ErrFull) {
			t.Errorf("the second: %v, want ErrFull", err)
		}
	})
}
