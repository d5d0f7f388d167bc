package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
)

// errLogin says that no token was to be had.
var errLogin = errors.New("no token")

var realm = regexp.MustCompile(`(?i)^Bearer realm="([^"]+)"`)

// login gets a token at the realm that the server names. The bench's upstream gives one
// that is good for everything.
func (d *dialer) login(ctx context.Context, p Plan) error {
	ctx, cancel := context.WithTimeout(ctx, p.Bound)
	defer cancel()
	scheme := "http"
	if d.tls != nil {
		scheme = "https"
	}
	transport := &http.Transport{TLSClientConfig: d.tls, DisableKeepAlives: true}
	c := &http.Client{Transport: transport}
	resp, err := get(ctx, c, scheme+"://"+d.addr+"/v2/")
	if err != nil {
		return err
	}
	resp.Body.Close()
	found := realm.FindStringSubmatch(resp.Header.Get("WWW-Authenticate"))
	if found == nil {
		return fmt.Errorf("log in: %w: %s without a realm", errLogin, resp.Status)
	}
	if resp, err = get(ctx, c, found[1]); err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct{ Token string }
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 1<<20)).Decode(&answer); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	if answer.Token == "" {
		return fmt.Errorf("log in: %w: %s", errLogin, resp.Status)
	}
	d.auth = "Bearer " + answer.Token
	return nil
}

func get(ctx context.Context, c *http.Client, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	return resp, nil
}
