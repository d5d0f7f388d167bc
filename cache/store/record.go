package store

import (
	"encoding/binary"
	"time"
)

// record is what the index knows of one object.
type record struct {
	size      int64
	committed time.Time
	// used is when the object was last used, as far as that was written: by the clock of
	// the store, in nanoseconds.
	used int64
}

// A record is size, commit time (Unix seconds) and last use (nanoseconds of the store's
// clock), 8 bytes each, big endian. Later versions may append fields. Records of version 1
// have no last use: that is their commit then.
func encodeRecord(r record) []byte {
	b := make([]byte, 0, 24)
	b = binary.BigEndian.AppendUint64(b, uint64(r.size))
	b = binary.BigEndian.AppendUint64(b, uint64(r.committed.Unix()))
	return binary.BigEndian.AppendUint64(b, uint64(r.used))
}

func decodeRecord(b []byte) record {
	if len(b) < 16 {
		return record{}
	}
	r := record{
		size:      int64(binary.BigEndian.Uint64(b)),
		committed: time.Unix(int64(binary.BigEndian.Uint64(b[8:])), 0),
	}
	r.used = r.committed.UnixNano()
	if len(b) >= 24 {
		r.used = int64(binary.BigEndian.Uint64(b[16:]))
	}
	return r
}

// recencyKey orders objects by their last use.
func recencyKey(used int64, key []byte) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(key)), uint64(used)), key...)
}

// decodeRecency is what recencyKey was made of; an entry that makes no sense has no key.
func decodeRecency(b []byte) (used int64, key []byte) {
	if len(b) < 8 {
		return 0, nil
	}
	return int64(binary.BigEndian.Uint64(b)), b[8:]
}

func encodeTotals(u Usage) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(u.Objects))
	return binary.BigEndian.AppendUint64(b, uint64(u.Bytes))
}

func decodeTotals(b []byte) Usage {
	if len(b) < 16 {
		return Usage{}
	}
	return Usage{
		Objects: int64(binary.BigEndian.Uint64(b)),
		Bytes:   int64(binary.BigEndian.Uint64(b[8:])),
	}
}
