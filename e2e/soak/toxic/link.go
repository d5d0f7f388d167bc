package toxic

import (
	"bytes"
	"encoding/json"
	"sync"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/berth-cache/berth/e2e/port"
)

// Link is the way to one upstream.
type Link struct {
	// Addr is where it begins.
	Addr    string
	proxy   *toxiproxy.Proxy
	weather Weather
}

// quiet keeps the global logger of toxics out of the tests' output.
var quiet = sync.OnceFunc(func() { zerolog.SetGlobalLevel(zerolog.Disabled) })

// New returns a link to the upstream at an address, in fair weather, until tb ends.
func New(tb testing.TB, upstream string) *Link {
	tb.Helper()
	quiet()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	l := &Link{Addr: port.Reserve(tb)}
	l.proxy = toxiproxy.NewProxy(server, upstream, l.Addr, upstream)
	if err := l.proxy.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(l.proxy.Stop)
	return l
}

// Turn changes the weather.
func (l *Link) Turn(tb testing.TB, w Weather) {
	tb.Helper()
	if l.weather.Toxic == Down {
		if err := l.proxy.Start(); err != nil {
			tb.Fatal(err)
		}
	}
	l.proxy.Toxics.ResetToxics(tb.Context())
	l.weather = w
	switch w.Toxic {
	case "":
	case Down:
		l.proxy.Stop()
	default:
		toxic, err := json.Marshal(map[string]any{
			"type": w.Toxic, "stream": "downstream", "attributes": w.Attributes,
		})
		if err == nil {
			_, err = l.proxy.Toxics.AddToxicJson(bytes.NewReader(toxic))
		}
		if err != nil {
			tb.Fatalf("toxic %s: %v", w.Toxic, err)
		}
	}
}

// Weather is what it is now.
func (l *Link) Weather() Weather { return l.weather }
