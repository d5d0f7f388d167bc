package row

import "time"

// Scale is how much a run does.
type Scale struct {
	// Rounds are how often each measurement is made.
	Rounds int
	// Warm is how long one warm measurement takes, MaxRequests how many requests at most.
	Warm        time.Duration
	MaxRequests int64
	// Connections are those of small requests, Streams those of large ones.
	Connections, Streams int
	// Layer is the size of each of an image's layers in bytes, Layers how many it has.
	Layer  int64
	Layers int
	// Crowd and Mob are clients that come all at once.
	Crowd, Mob int
	// Huge is the size of the one large layer in bytes.
	Huge int64
	// Objects are how many are held, Hot how many of them are asked for.
	Objects, Hot int
	// FillConnections fetch Objects, for at most FillBound.
	FillConnections int
	FillBound       time.Duration
	// Bound ends every other measurement.
	Bound time.Duration
}

// Full is the benchmark as it is published.
func Full() Scale {
	return Scale{
		Rounds: 5, Warm: 3 * time.Second, MaxRequests: 5_000_000, Connections: 64, Streams: 16,
		Layer: 8 << 20, Layers: 4, Crowd: 200, Mob: 1000, Huge: 256 << 20,
		Objects: 1_000_000, Hot: 1000, FillConnections: 256, FillBound: 30 * time.Minute,
		Bound: 2 * time.Minute,
	}
}

// Miniature does every step of Full in little: its numbers mean nothing.
func Miniature() Scale {
	return Scale{
		Rounds: 2, Warm: 50 * time.Millisecond, MaxRequests: 2000, Connections: 4, Streams: 2,
		Layer: 100 << 10, Layers: 4, Crowd: 8, Mob: 16, Huge: 1 << 20,
		Objects: 300, Hot: 20, FillConnections: 8, FillBound: time.Minute,
		Bound: time.Minute,
	}
}
