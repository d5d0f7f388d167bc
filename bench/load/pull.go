package load

import (
	"context"
	"sync"
	"time"

	"github.com/berth-cache/berth/bench/image"
)

// puller is one client of a Pull.
type puller struct {
	dialer *dialer
	image  image.Image
	start  time.Time

	// mu guards the fields below.
	mu    sync.Mutex
	first time.Time // when the first byte of a layer was here
	err   error
	bytes int64
}

func (p *Pull) run(ctx context.Context, d *dialer, m image.Image) Result {
	return together(p.Clients, func(_ int, n *tally) {
		one := &puller{dialer: d, image: m, start: time.Now()}
		if err := one.pull(ctx, p.Parallel); err != nil {
			n.fail(err)
			return
		}
		n.requests++
		n.bytes += one.bytes
		n.latencies = append(n.latencies, time.Since(one.start))
		if !one.first.IsZero() {
			n.firstBytes = append(n.firstBytes, one.first.Sub(one.start))
		}
	})
}

// pull gets the manifest, and then the configuration and all layers, several at a time, as
// docker and containerd do.
func (p *puller) pull(ctx context.Context, parallel int) error {
	first := &client{dialer: p.dialer}
	defer first.close()
	manifest := ManifestTarget(p.image)
	if _, err := first.ask(ctx, p.dialer.request("GET", manifest.Path), manifest, false); err != nil {
		return err
	}
	p.bytes = manifest.size()
	parts := make(chan image.Part, len(p.image.Layers)+1)
	parts <- p.image.Config
	for _, l := range p.image.Layers {
		parts <- l
	}
	close(parts)
	var running sync.WaitGroup
	for range parallel - 1 {
		running.Go(func() {
			c := &client{dialer: p.dialer}
			defer c.close()
			p.fetch(ctx, c, parts)
		})
	}
	p.fetch(ctx, first, parts)
	running.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// fetch gets parts until there are none left or one failed.
func (p *puller) fetch(ctx context.Context, c *client, parts <-chan image.Part) {
	for part := range parts {
		t := BlobTarget(p.image.Repository, part)
		a, err := c.ask(ctx, p.dialer.request("GET", t.Path), t, false)
		p.record(part, a, err)
		if err != nil {
			return
		}
	}
}

func (p *puller) record(part image.Part, a answer, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if p.err == nil {
			p.err = err
		}
		return
	}
	p.bytes += part.Blob.Size
	if part.Digest != p.image.Config.Digest && (p.first.IsZero() || a.first.Before(p.first)) {
		p.first = a.first
	}
}
