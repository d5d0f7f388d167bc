package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/google/go-containerregistry/pkg/authn"
)

const (
	// azureScope is the registries' own audience.
	azureScope = "https://containerregistry.azure.net/.default"
	// azureExpiry is how long a refresh token of a registry lasts.
	azureExpiry = 3 * time.Hour
)

// Azure is the login that a registry of Azure gives to who the environment says we are: a
// service principal, the workload identity of the pod or the managed one of the machine.
func Azure() Credential {
	return keychain{
		kind: "azure", hosts: "registries below azurecr.io",
		owns: func(host string) bool { return strings.HasSuffix(host, ".azurecr.io") },
		find: askAzure,
	}.credential()
}

func askAzure(ctx context.Context, c *Client) (found, error) {
	identity, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
		ClientOptions: azcore.ClientOptions{Transport: vendorClient()},
	})
	if err != nil {
		return found{}, err
	}
	token, err := identity.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{azureScope}})
	if err != nil {
		if _, tried, ok := strings.Cut(err.Error(), "Attempted credentials:"); ok {
			err = errors.New(strings.TrimSpace(tried)) // what matters, where messages have an end
		}
		return found{}, err
	}
	return c.exchange(ctx, token.Token)
}

// exchange gets an identity token of the registry for one of Azure's.
func (c *Client) exchange(ctx context.Context, token string) (found, error) {
	form := url.Values{"grant_type": {"access_token"}, "service": {c.base.Host}, "access_token": {token}}
	resp, err := c.send(ctx, trip{
		method: http.MethodPost, form: form.Encode(),
		url:    &url.URL{Scheme: c.base.Scheme, Host: c.base.Host, Path: "/oauth2/exchange"},
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		allow:  c.checkTokenHop(authn.AuthConfig{IdentityToken: token}),
	})
	if err != nil {
		return found{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenBytes))
	if err != nil {
		return found{}, err
	}
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil || answer.RefreshToken == "" {
		return found{}, fmt.Errorf("the registry answered %s when it was shown who we are", resp.Status)
	}
	return found{IdentityToken: answer.RefreshToken, Expires: time.Now().Add(azureExpiry)}, nil
}
