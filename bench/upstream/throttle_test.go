package upstream_test

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-cache/berth/bench/upstream"
)

// sending is how long size bytes take in writes of chunk bytes.
func sending(t *testing.T, c upstream.Conditions, size, chunk int) time.Duration {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	read := make(chan int64)
	go func() {
		n, err := io.Copy(io.Discard, near)
		if err != nil {
			t.Error(err)
		}
		read <- n
	}()
	conn := upstream.Far(far, c)
	start := time.Now()
	for sent := 0; sent < size; sent += chunk {
		if _, err := conn.Write(make([]byte, min(chunk, size-sent))); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(start)
	far.Close()
	if n := <-read; n != int64(size) {
		t.Errorf("%d of %d bytes arrived", n, size)
	}
	return took
}

func TestBandwidthIsOfAConnection(t *testing.T) {
	for _, c := range []struct {
		name        string
		rate        int64
		size, chunk int
		want        time.Duration
	}{
		{"no limit", 0, 10 << 20, 1 << 20, 0},
		{"one write", 1 << 20, 10 << 20, 10 << 20, 10 * time.Second},
		{"many writes", 1 << 20, 10 << 20, 1000, 10 * time.Second},
		{"twice as wide", 2 << 20, 10 << 20, 1 << 20, 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := sending(t, upstream.Conditions{BytesPerSecond: c.rate}, c.size, c.chunk)
				// The first bytes may run ahead by what late timers are allowed to cost.
				if got > c.want || got < c.want-10*time.Millisecond {
					t.Errorf("took %s, want %s", got, c.want)
				}
			})
		})
	}
}

func TestPauseEarnsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		go io.Copy(io.Discard, near) //nolint:errcheck // it ends with the pipe
		conn := upstream.Far(far, upstream.Conditions{BytesPerSecond: 1 << 20})
		defer conn.Close()
		time.Sleep(time.Hour)
		start := time.Now()
		if _, err := conn.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 990*time.Millisecond {
			t.Errorf("a second's worth took %s after a pause", took)
		}
	})
}

func TestNewConnectionWaits(t *testing.T) {
	for name, c := range map[string]struct {
		conditions upstream.Conditions
		want       time.Duration
	}{
		"plain": {upstream.Conditions{Latency: 30 * time.Millisecond}, 30 * time.Millisecond},
		"TLS":   {upstream.Conditions{Latency: 30 * time.Millisecond, TLS: true}, 60 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer near.Close()
				go near.Write([]byte("hello")) //nolint:errcheck // nobody reads its end
				conn := upstream.Far(far, c.conditions)
				defer conn.Close()
				start := time.Now()
				for i, want := range []time.Duration{c.want, c.want} {
					if _, err := conn.Read(make([]byte, 2)); err != nil {
						t.Fatal(err)
					}
					if took := time.Since(start); took != want {
						t.Errorf("read %d ended after %s, want %s", i, took, want)
					}
				}
			})
		})
	}
}
