package store

import (
	bolt "go.etcd.io/bbolt"
)

var (
	recordsBucket = []byte("records")
	recencyBucket = []byte("recency")
	arrivedBucket = []byte("arrived")
	doomedBucket  = []byte("doomed")
	metaBucket    = []byte("meta")
	versionKey    = []byte("version")
	totalsKey     = []byte("totals")
)

// tables are the buckets of the index within one write transaction:
//
//	records   key → record
//	recency   (last use, key), of every record
//	arrived   keys whose record was written before their file got its name
//	doomed    keys whose file is to be removed
//	meta      version; totals
//
// What arrived and doomed hold are intents: they are noted in the transaction that records
// or drops the object, come true on the file system after it, and are cleared with a later
// one. A start has to look at those alone, never at the tree.
type tables struct {
	records, recency, arrived, doomed, meta *bolt.Bucket
	totals                                  Usage
	// released is how many of the bytes that were reserved are counted in the totals now.
	released int64
}

func tablesOf(tx *bolt.Tx, totals Usage) *tables {
	t := &tables{
		records: tx.Bucket(recordsBucket),
		recency: tx.Bucket(recencyBucket),
		arrived: tx.Bucket(arrivedBucket),
		doomed:  tx.Bucket(doomedBucket),
		meta:    tx.Bucket(metaBucket),
		totals:  totals,
	}
	// Uses come in the order of time, so that pages are filled from left to right.
	t.recency.FillPercent = 0.9
	return t
}

// get returns the record of key, and whether there is one.
func (t *tables) get(key []byte) (record, bool) {
	v := t.records.Get(key)
	if v == nil {
		return record{}, false
	}
	return decodeRecord(v), true
}

// put records r under key, replacing what was there.
func (t *tables) put(key []byte, r record) error {
	if err := t.remove(key); err != nil {
		return err
	}
	t.totals.Objects++
	t.totals.Bytes += r.size
	if err := t.records.Put(key, encodeRecord(r)); err != nil {
		return err
	}
	if err := t.recency.Put(recencyKey(r.used, key), nil); err != nil {
		return err
	}
	return t.doomed.Delete(key)
}

// arrive records r under key, whose file is about to get its name. So many bytes need not
// be reserved for it any more.
func (t *tables) arrive(key []byte, r record, reserved int64) error {
	t.released += reserved
	if err := t.put(key, r); err != nil {
		return err
	}
	return t.arrived.Put(key, nil)
}

// remove drops the record of key; an absent one is no error.
func (t *tables) remove(key []byte) error {
	r, found := t.get(key)
	if !found {
		return nil
	}
	t.totals.Objects--
	t.totals.Bytes -= r.size
	if err := t.recency.Delete(recencyKey(r.used, key)); err != nil {
		return err
	}
	if err := t.arrived.Delete(key); err != nil {
		return err
	}
	return t.records.Delete(key)
}

// doom drops the record of key and notes that its file is to be removed.
func (t *tables) doom(key []byte) error {
	if err := t.remove(key); err != nil {
		return err
	}
	return t.doomed.Put(key, nil)
}

// evict is doom for an object whose last use is still the one that k has.
func (t *tables) evict(k keyed) (evicted bool, err error) {
	r, found := t.get(k.key)
	if !found || r.used != k.record.used {
		// Used again meanwhile, and then this entry is gone; or left over, and it goes.
		return false, t.recency.Delete(recencyKey(k.record.used, k.key))
	}
	return true, t.doom(k.key)
}

// touch moves the last use of key to used, never back; an absent record is no error.
func (t *tables) touch(key []byte, used int64) error {
	r, found := t.get(key)
	if !found || r.used >= used {
		return nil
	}
	if err := t.recency.Delete(recencyKey(r.used, key)); err != nil {
		return err
	}
	r.used = used
	if err := t.recency.Put(recencyKey(used, key), nil); err != nil {
		return err
	}
	return t.records.Put(key, encodeRecord(r))
}

// clear forgets intents that came true.
func (t *tables) clear(done intents) error {
	for _, key := range done.arrived {
		if err := t.arrived.Delete(key); err != nil {
			return err
		}
	}
	for _, key := range done.doomed {
		if err := t.doomed.Delete(key); err != nil {
			return err
		}
	}
	return nil
}

// save writes the totals.
func (t *tables) save() error { return t.meta.Put(totalsKey, encodeTotals(t.totals)) }
