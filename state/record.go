package state

import (
	"bytes"
	"encoding/binary"
	"time"
)

// expiryBytes is the length of the expiry in front of a record's value and of a key in
// the expiry bucket: nanoseconds since 1970, big endian, so that they sort by time.
const expiryBytes = 8

// expiry is when a record ends, zero for never. It is unsigned because the longest
// time.Duration added to today no longer fits an int64.
type expiry uint64

func expiryAfter(now time.Time, ttl time.Duration) expiry {
	if ttl == 0 {
		return 0
	}
	return expiry(now.UnixNano()) + expiry(ttl)
}

func (e expiry) past(now time.Time) bool {
	return e != 0 && e <= expiry(now.UnixNano())
}

// record is a value as it lies in the file: its expiry, then its bytes.
type record []byte

// newRecord copies value, since the caller may reuse it while the write still waits.
func newRecord(value []byte, ends expiry) record {
	r := make(record, 0, expiryBytes+len(value))
	r = binary.BigEndian.AppendUint64(r, uint64(ends))
	return append(r, value...)
}

// ends tells when r ends. A record too short for one can only be damage; it counts as
// long gone, and so as absent.
func (r record) ends() expiry {
	if len(r) < expiryBytes {
		return 1
	}
	return expiry(binary.BigEndian.Uint64(r))
}

// live tells whether r is there at all and has not expired.
func (r record) live(now time.Time) bool {
	return r != nil && !r.ends().past(now)
}

// value returns the bytes of a live record, which are the file's own.
func (r record) value() []byte { return r[expiryBytes:] }

// copied returns a copy of the value that is never nil: nil means absent in a Swap.
func (r record) copied() []byte { return append([]byte{}, r.value()...) }

// matches tells whether r, as it is now, is what a Swap expects.
func (r record) matches(old []byte, now time.Time) bool {
	if !r.live(now) {
		return old == nil
	}
	return old != nil && bytes.Equal(r.value(), old)
}

// expiryKey is the key under which a record is listed for the sweeper.
func expiryKey(ends expiry, key []byte) []byte {
	k := make([]byte, 0, expiryBytes+len(key))
	k = binary.BigEndian.AppendUint64(k, uint64(ends))
	return append(k, key...)
}

// parseExpiryKey takes an expiryKey apart; key is a part of k.
func parseExpiryKey(k []byte) (ends expiry, key []byte) {
	if len(k) < expiryBytes {
		return 1, nil
	}
	return expiry(binary.BigEndian.Uint64(k)), k[expiryBytes:]
}
