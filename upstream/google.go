package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/google"
	"golang.org/x/oauth2"
)

// Google is the login that Google gives for its registries, to who the environment says we
// are: a file of credentials, or the identity of the pod or the machine. It lasts an hour.
func Google() Credential {
	return keychain{
		kind: "google", hosts: "gcr.io and pkg.dev",
		owns: func(host string) bool {
			return host == "gcr.io" || strings.HasSuffix(host, ".gcr.io") || strings.HasSuffix(host, ".pkg.dev")
		},
		find: func(ctx context.Context, _ *Client) (found, error) { return askGoogle(ctx) },
	}.credential()
}

// askGoogle does not use google.Keychain: what that finds first, nothing included, holds
// for the life of the process.
func askGoogle(ctx context.Context) (found, error) {
	auth, err := google.NewEnvAuthenticator(context.WithValue(ctx, oauth2.HTTPClient, vendorClient()))
	if err != nil {
		return found{}, googleError(err)
	}
	login, err := auth.Authorization()
	if err != nil {
		return found{}, googleError(err)
	}
	f := found{Username: login.Username, Password: login.Password}
	if source, ok := auth.(oauth2.TokenSource); ok {
		if token, err := source.Token(); err == nil { // the one just given
			f.Expires = token.Expiry
		}
	}
	return f, nil
}

// googleError leaves out the answer that the error quotes.
func googleError(err error) error {
	e, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return err
	}
	var said struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(e.Body, &said) != nil || strings.Trim(said.Error, "abcdefghijklmnopqrstuvwxyz_") != "" {
		said.Error = "no reason"
	}
	return fmt.Errorf("the token service answered %d, %s", e.Response.StatusCode, said.Error)
}
