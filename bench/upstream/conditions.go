package upstream

import (
	"errors"
	"time"
)

// Conditions are what a row makes of the upstream. The zero value is a fast HTTP/1.1
// registry next door that is open to everybody.
type Conditions struct {
	// Latency is the round trip: what a new connection, a TLS handshake and every request
	// wait for. The slow start of real connections is not imitated.
	Latency time.Duration `json:"latency,omitempty"`
	// BytesPerSecond is what one connection carries at most; 0 is no limit.
	BytesPerSecond int64 `json:"bytes_per_second,omitempty"`
	// WholeOnly ignores the Range header, as registries may.
	WholeOnly bool `json:"whole_only,omitempty"`
	// Auth demands a token, which the token service beside the registry gives to anyone.
	Auth bool `json:"auth,omitempty"`
	// TLS serves HTTP/2 and HTTP/1.1 over TLS, with a certificate of the process's own.
	TLS bool `json:"tls,omitempty"`
}

func (c Conditions) validate() error {
	if c.Latency < 0 || c.BytesPerSecond < 0 {
		return errors.New("latency and bandwidth are not negative")
	}
	return nil
}
