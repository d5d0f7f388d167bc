package toxic

// Down is no toxic but the end of all connections, and none that begin.
const Down = "down"

// Weather is one of toxiproxy's toxics, over whatever an upstream sends, or none.
type Weather struct {
	Toxic      string
	Attributes map[string]any
	// Hard: answers may not come, or not whole. Otherwise they come, if late.
	Hard bool
	// Dead: no answer comes at all.
	Dead bool
}

// String is the toxic's name.
func (w Weather) String() string {
	if w.Toxic == "" {
		return "fair"
	}
	return w.Toxic
}

// The weathers.
var (
	Fair      = Weather{}
	Latency   = Weather{Toxic: "latency", Attributes: map[string]any{"latency": 60, "jitter": 40}}
	Bandwidth = Weather{Toxic: "bandwidth", Attributes: map[string]any{"rate": 4000}} // KB/s, each connection
	SlowClose = Weather{Toxic: "slow_close", Attributes: map[string]any{"delay": 500}}
	Slicer    = Weather{Toxic: "slicer", Attributes: map[string]any{"average_size": 1000, "size_variation": 500, "delay": 20}}
	LimitData = Weather{Toxic: "limit_data", Attributes: map[string]any{"bytes": 400_000}, Hard: true}
	ResetPeer = Weather{Toxic: "reset_peer", Attributes: map[string]any{"timeout": 0}, Hard: true, Dead: true}
	Timeout   = Weather{Toxic: "timeout", Attributes: map[string]any{"timeout": 0}, Hard: true, Dead: true} // never ends
	Stopped   = Weather{Toxic: Down, Hard: true, Dead: true}
)

// All are all of them that are bad.
var All = []Weather{Latency, Bandwidth, SlowClose, Slicer, LimitData, ResetPeer, Timeout, Stopped}
