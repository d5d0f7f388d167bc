package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/berth-cache/berth/bench/image"
)

// Control is the way to a running upstream's desk.
type Control struct {
	base   string
	client *http.Client
}

// NewControl returns the way to the desk at addr (host:port).
func NewControl(addr string) *Control {
	return &Control{base: "http://" + addr, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

// Endpoint tells where clients find the registry.
func (c *Control) Endpoint(ctx context.Context) (Endpoint, error) {
	var e Endpoint
	return e, c.do(ctx, http.MethodGet, "/endpoint", nil, &e)
}

// Counters tells what the upstream was asked and gave since it started.
func (c *Control) Counters(ctx context.Context) (Counters, error) {
	var n Counters
	return n, c.do(ctx, http.MethodGet, "/counters", nil, &n)
}

// AddImage makes the upstream have an image.
func (c *Control) AddImage(ctx context.Context, s image.Spec) error {
	return c.do(ctx, http.MethodPost, "/images", s, nil)
}

// AddPool makes the upstream have a pool's blobs.
func (c *Control) AddPool(ctx context.Context, p image.Pool) error {
	return c.do(ctx, http.MethodPost, "/pools", p, nil)
}

func (c *Control) do(ctx context.Context, method, path string, order, answer any) error {
	content, err := json.Marshal(order)
	if err != nil {
		return fmt.Errorf("upstream %s: %w", path, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("upstream %s: %w", path, err)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("upstream %s: %w", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxOrder))
	switch {
	case err != nil:
		return fmt.Errorf("upstream %s: %w", path, err)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("upstream %s: %s: %s", path, resp.Status, body)
	case answer == nil:
		return nil
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("upstream %s: %w", path, err)
	}
	return nil
}
