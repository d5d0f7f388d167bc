package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/berth-cache/berth/bench/image"
)

// errOrder says that the desk did not do as it was told.
var errOrder = errors.New("refused")

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
	return e, c.get(ctx, "/endpoint", &e)
}

// Counters tells what the upstream was asked and gave since it started.
func (c *Control) Counters(ctx context.Context) (Counters, error) {
	var n Counters
	return n, c.get(ctx, "/counters", &n)
}

// AddImage makes the upstream have an image.
func (c *Control) AddImage(ctx context.Context, s image.Spec) error {
	return c.post(ctx, "/images", s)
}

// AddPool makes the upstream have a pool's blobs.
func (c *Control) AddPool(ctx context.Context, p image.Pool) error {
	return c.post(ctx, "/pools", p)
}

func (c *Control) get(ctx context.Context, path string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return fmt.Errorf("upstream %s: %w", path, err)
	}
	body, err := c.do(req)
	if err == nil {
		err = json.Unmarshal(body, answer)
	}
	if err != nil {
		return fmt.Errorf("upstream %s: %w", path, err)
	}
	return nil
}

func (c *Control) post(ctx context.Context, path string, order any) error {
	content, err := json.Marshal(order)
	if err != nil {
		return fmt.Errorf("upstream %s: %w", path, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("upstream %s: %w", path, err)
	}
	if _, err := c.do(req); err != nil {
		return fmt.Errorf("upstream %s: %w", path, err)
	}
	return nil
}

// do returns the body of an answer that is 200.
func (c *Control) do(req *http.Request) ([]byte, error) {
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxOrder))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%w: %s: %s", errOrder, resp.Status, body)
	}
	return body, err
}
