package statetest

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/berth-cache/berth/state"
)

// allBytes has every byte once, which no text encoding survives.
var allBytes = func() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}()

func testGetPut(t *testing.T, s state.Store) {
	wantAbsent(t, s, "k")
	put(t, s, "k", "one")
	wantValue(t, s, "k", "one")
	put(t, s, "k", "two")
	wantValue(t, s, "k", "two")
	put(t, s, "k", allBytes)
	wantValue(t, s, "k", allBytes)
	put(t, s, "k", "")
	wantValue(t, s, "k", "")
	if err := s.Put(t.Context(), "k", nil, 0); err != nil {
		t.Fatal(err)
	}
	wantValue(t, s, "k", "")
	wantAbsent(t, s, "k2")
}

func testOwnBytes(t *testing.T, s state.Store) {
	value := []byte("value")
	put(t, s, "k", "")
	if err := s.Put(t.Context(), "k", value, 0); err != nil {
		t.Fatal(err)
	}
	copy(value, "XXXXX")
	wantValue(t, s, "k", "value")

	got, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	copy(got, "XXXXX")
	_ = append(got, "more"...)
	entries, err := s.Scan(t.Context(), state.Range{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		copy(e.Value, "XXXXX")
	}
	wantValue(t, s, "k", "value")

	old, replacement := []byte("value"), []byte("newer")
	swap(t, s, "k", state.Swap{Old: old, New: replacement})
	copy(replacement, "XXXXX")
	wantValue(t, s, "k", "newer")
}

func testDelete(t *testing.T, s state.Store) {
	for range 2 { // the second time it is absent
		if err := s.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		wantAbsent(t, s, "k")
	}
	put(t, s, "k", "v")
	put(t, s, "k2", "v2")
	if err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	wantAbsent(t, s, "k")
	wantScan(t, s, state.Range{Limit: 10}, "k2=v2")
	put(t, s, "k", "again")
	wantScan(t, s, state.Range{Limit: 10}, "k=again", "k2=v2")
}

func testSwap(t *testing.T, s state.Store) {
	a, b, empty := []byte("a"), []byte(allBytes), []byte{}

	wantConflict(t, s, "k", state.Swap{Old: a, New: b})
	wantConflict(t, s, "k", state.Swap{Old: empty, New: b})
	wantConflict(t, s, "k", state.Swap{Old: a})
	wantAbsent(t, s, "k")
	swap(t, s, "k", state.Swap{}) // absent stays absent
	wantScan(t, s, state.Range{Limit: 10})

	swap(t, s, "k", state.Swap{New: empty})
	wantValue(t, s, "k", "")
	wantConflict(t, s, "k", state.Swap{New: a})
	wantConflict(t, s, "k", state.Swap{})
	wantValue(t, s, "k", "")

	swap(t, s, "k", state.Swap{Old: empty, New: b})
	wantConflict(t, s, "k", state.Swap{Old: b[:255], New: a})
	wantConflict(t, s, "k", state.Swap{Old: empty, New: a})
	swap(t, s, "k", state.Swap{Old: b, New: a})
	wantScan(t, s, state.Range{Limit: 10}, "k=a")

	swap(t, s, "k", state.Swap{Old: a, New: a})
	swap(t, s, "k", state.Swap{Old: a})
	wantAbsent(t, s, "k")
	wantScan(t, s, state.Range{Limit: 10})
	swap(t, s, "k", state.Swap{New: b})
	wantScan(t, s, state.Range{Limit: 10}, "k="+allBytes)
}

// testKeys uses keys as other rooms make them, and such as somebody's separator,
// pattern or quote might break.
func testKeys(t *testing.T, s state.Store) {
	keys := []string{ // ascending bytewise
		"\x00", "\x00\x00", " ", "%d", "*", "..", "/", "/a/../b", ":", "=", "?", "A", "[a-z]", "\\", "a", "a\x00", "a\n",
		"a b", "a/b", "a/b:c", "a:b", "ab", "a|b", "a|b|c", "a}", "keys", "{a}", "{state}", "~", "é", "日本語", "\U0010ffff",
	}
	var want []string
	for _, key := range keys {
		put(t, s, key, "of "+key)
		want = append(want, key+"=of "+key)
	}
	for _, key := range keys {
		wantValue(t, s, key, "of "+key)
	}
	wantScan(t, s, state.Range{Limit: 100}, want...)
	for _, key := range keys {
		if err := s.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	wantScan(t, s, state.Range{Limit: 100})
}

func testLimits(t *testing.T, s state.Store) {
	ctx := t.Context()
	for name, key := range map[string]string{
		"empty": "", "too long": strings.Repeat("k", state.MaxKeyBytes+1), "not UTF-8": "a\xffb", "half a rune": "\xe6\x97",
	} {
		_, err := s.Get(ctx, key)
		wantRefused(t, "get of a key "+name, err)
		wantRefused(t, "put of a key "+name, s.Put(ctx, key, nil, 0))
		wantRefused(t, "swap of a key "+name, s.CompareAndSwap(ctx, key, state.Swap{}))
		wantRefused(t, "delete of a key "+name, s.Delete(ctx, key))
	}
	big := make([]byte, state.MaxValueBytes+1)
	wantRefused(t, "put of a big value", s.Put(ctx, "k", big, 0))
	wantRefused(t, "swap to a big value", s.CompareAndSwap(ctx, "k", state.Swap{New: big}))
	wantRefused(t, "swap from a big value", s.CompareAndSwap(ctx, "k", state.Swap{Old: big}))
	wantRefused(t, "put for a negative time", s.Put(ctx, "k", nil, -time.Second))
	wantRefused(t, "swap for a negative time", s.CompareAndSwap(ctx, "k", state.Swap{New: []byte{}, TTL: -1}))
	for _, limit := range []int{0, -1} {
		_, err := s.Scan(ctx, state.Range{Limit: limit})
		wantRefused(t, "scan without a limit", err)
	}
	wantScan(t, s, state.Range{Limit: 10})
}

func testLargest(t *testing.T, s state.Store) {
	key, value := strings.Repeat("日", state.MaxKeyBytes/3)+"k", bytes.Repeat([]byte{0, 0xff}, state.MaxValueBytes/2)
	if err := s.Put(t.Context(), key, value, time.Hour); err != nil {
		t.Fatal(err)
	}
	other := bytes.Clone(value)
	other[len(other)-1]--
	wantConflict(t, s, key, state.Swap{Old: other, New: value})
	swap(t, s, key, state.Swap{Old: value, New: other})
	got, err := s.Get(t.Context(), key)
	if err != nil || !bytes.Equal(got, other) {
		t.Errorf("Get = %d bytes, %v, want the %d of the last swap", len(got), err, len(other))
	}
	entries, err := s.Scan(t.Context(), state.Range{Prefix: key[:3], Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Key != key || !bytes.Equal(entries[0].Value, other) {
		t.Errorf("Scan = %d entries, want the one", len(entries))
	}
}
