package state

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

var (
	errKeyEmpty   = errors.New("key is empty")
	errKeyNotUTF8 = errors.New("key is not valid UTF-8")
)

func checkKey(key string) error {
	switch {
	case key == "":
		return errKeyEmpty
	case len(key) > MaxKeyBytes:
		return fmt.Errorf("key of %d bytes, at most %d are allowed", len(key), MaxKeyBytes)
	case !utf8.ValidString(key):
		return errKeyNotUTF8
	}
	return nil
}

func checkWrite(key string, value []byte, ttl time.Duration) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if ttl < 0 {
		return fmt.Errorf("ttl %s is negative", ttl)
	}
	return checkValue(value)
}

func checkValue(value []byte) error {
	if len(value) > MaxValueBytes {
		return fmt.Errorf("value of %d bytes, at most %d are allowed", len(value), MaxValueBytes)
	}
	return nil
}

func checkSwap(key string, swap Swap) error {
	if err := checkValue(swap.Old); err != nil {
		return fmt.Errorf("old %w", err)
	}
	return checkWrite(key, swap.New, swap.TTL)
}

func checkRange(r Range) error {
	if r.Limit <= 0 {
		return fmt.Errorf("limit %d is not positive", r.Limit)
	}
	return nil
}
