package state_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/state"
	"github.com/berth-cache/berth/state/statetest"
)

// unhurried is a timeout that no load of the machine reaches, for tests that are not
// about timeouts.
const unhurried = 30 * time.Second

func newRedis(t *testing.T, options state.RedisOptions) *state.Redis {
	t.Helper()
	r, err := state.NewRedis(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// runRedis runs the suite, with a namespace for each store.
func runRedis(t *testing.T, options state.RedisOptions) {
	var stores atomic.Int64
	statetest.Run(t, func(t *testing.T) state.Store {
		options.Namespace = fmt.Sprintf("berth-%d:", stores.Add(1))
		return newRedis(t, options)
	})
}

func TestRedis(t *testing.T) {
	server := statetest.StartRedis(t)
	runRedis(t, state.RedisOptions{URL: state.RedisURL(server.URL()), Timeout: unhurried})
}

// TestRedisCluster runs the suite against a cluster of one node, which refuses a script
// that touches keys of two slots just as a cluster of many does.
func TestRedisCluster(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	_, busPort, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	must(t, l.Close())
	server := statetest.StartRedis(t, "--cluster-enabled", "yes", "--cluster-port", busPort)
	if got := askRedis(t, server.Addr, "CLUSTER ADDSLOTSRANGE 0 16383"); got != "+OK" {
		t.Fatal(got)
	}
	for !strings.Contains(askRedis(t, server.Addr, "SET k v"), "OK") {
		time.Sleep(5 * time.Millisecond)
	}
	runRedis(t, state.RedisOptions{URL: state.RedisURL(server.URL()), Timeout: unhurried, Cluster: true})
}

// askRedis returns the first line of the answer to a command.
func askRedis(t *testing.T, addr, command string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "%s\r\n", command)
	must(t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	must(t, err)
	return strings.TrimSpace(line)
}

func TestRedisNamespaces(t *testing.T) {
	server := statetest.StartRedis(t)
	options := state.RedisOptions{URL: state.RedisURL(server.URL()), Timeout: unhurried}
	first := newRedis(t, options)
	options.Namespace = "berth:2:"
	second := newRedis(t, options)
	must(t, first.Put(t.Context(), "k", []byte("first"), 0))
	must(t, second.Put(t.Context(), "k", []byte("second"), 0))
	for want, r := range map[string]*state.Redis{"first": first, "second": second} {
		got, err := r.Scan(t.Context(), state.Range{Limit: 10})
		must(t, err)
		if diff := cmp.Diff([]state.Entry{{Key: "k", Value: []byte(want)}}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want, diff)
		}
	}
	keys, err := first.Keys(t.Context())
	must(t, err)
	if len(keys) != 4 {
		t.Errorf("keys = %q, want a value and a set in each namespace", keys)
	}
	for _, key := range keys {
		if !strings.HasPrefix(key, "berth:") {
			t.Errorf("key %q is outside of the namespaces", key)
		}
	}
	for _, namespace := range []string{"{", "}", "{}", "a{b}c"} {
		if _, err := state.NewRedis(state.RedisOptions{URL: "redis://h", Namespace: namespace}); err == nil {
			t.Errorf("namespace %q was taken, which breaks the hash tag", namespace)
		}
	}
}

// TestRedisForgetsNames writes keys that expire and are never scanned: their names must
// not pile up. A scan then forgets all that are dead.
func TestRedisForgetsNames(t *testing.T) {
	const written = 1000
	server := statetest.StartRedis(t)
	r := newRedis(t, state.RedisOptions{URL: state.RedisURL(server.URL()), Timeout: unhurried})
	must(t, r.Put(t.Context(), "deleted", nil, 0))
	must(t, r.Delete(t.Context(), "deleted"))
	must(t, r.Put(t.Context(), "kept", nil, 0))
	if n, err := r.SetLen(t.Context()); err != nil || n != 1 {
		t.Errorf("%d names, %v, want the one that was not deleted", n, err)
	}
	for i := range written {
		must(t, r.Put(t.Context(), fmt.Sprint(i), nil, 1))
	}
	if n, err := r.SetLen(t.Context()); err != nil || n > written/2 {
		t.Errorf("%d names are left, %v, of %d that expired", n, err, written)
	}
	for n := int64(0); n != 1; {
		got, err := r.Scan(t.Context(), state.Range{Limit: 2 * written})
		must(t, err)
		if len(got) == 0 || got[len(got)-1].Key != "kept" {
			t.Fatalf("Scan = %d entries without the one that is kept", len(got))
		}
		n, err = r.SetLen(t.Context())
		must(t, err)
		if int(n) > len(got) {
			t.Fatalf("after a scan that found %d entries there are %d names", len(got), n)
		}
	}
}
