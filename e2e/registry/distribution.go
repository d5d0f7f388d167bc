package registry

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd" // access control by name
	_ "github.com/distribution/distribution/v3/registry/auth/token"    // access control by name
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // storage by name
	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/bcrypt"
)

// Anonymous runs a distribution registry that is open to everybody.
func Anonymous(tb testing.TB) *Registry {
	tb.Helper()
	return serveDistribution(tb, nil)
}

// Basic runs a distribution registry that lets only credential in, by htpasswd.
func Basic(tb testing.TB, credential Credential) *Registry {
	tb.Helper()
	// The least cost there is: the hash guards nothing, and every request pays for it.
	hash, err := bcrypt.GenerateFromPassword([]byte(credential.Password), bcrypt.MinCost)
	if err != nil {
		tb.Fatalf("hash a password: %v", err)
	}
	file := filepath.Join(tb.TempDir(), "htpasswd")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%s:%s\n", credential.Username, hash), 0o600); err != nil {
		tb.Fatal(err)
	}
	access := configuration.Auth{"htpasswd": {"realm": "berth e2e", "path": file}}
	r := serveDistribution(tb, access)
	r.credential = credential
	r.login = func(_ testing.TB, _ string, header http.Header) {
		request := http.Request{Header: header}
		request.SetBasicAuth(credential.Username, credential.Password)
	}
	return r
}

// Token runs a distribution registry that lets only bearers of service's tokens in.
func Token(tb testing.TB, service *TokenService) *Registry {
	tb.Helper()
	access := configuration.Auth{"token": {
		"realm":   service.URL() + "/token",
		"service": tokenAudience,
		"issuer":  tokenIssuer,
		"jwks":    service.keyFile(tb),
	}}
	r := serveDistribution(tb, access)
	r.credential = service.credential
	r.login = func(tb testing.TB, repository string, header http.Header) {
		tb.Helper()
		token, err := service.sign(service.credential.Username, []string{"repository:" + repository + ":pull,push"})
		if err != nil {
			tb.Fatal(err)
		}
		header.Set("Authorization", "Bearer "+token)
	}
	return r
}

// quiet keeps distribution's global logger out of the tests' output: the requests are
// recorded, and what goes wrong shows in the answers.
var quiet = sync.OnceFunc(func() { logrus.SetLevel(logrus.PanicLevel) })

func serveDistribution(tb testing.TB, access configuration.Auth) *Registry {
	tb.Helper()
	folder := tb.TempDir()
	r := Serve(tb, distribution(tb, folder, access))
	r.storage = filepath.Join(folder, "docker/registry/v2/blobs")
	return r
}

// distribution makes a registry over files of its own. Manifests are not validated, so
// that nested indexes, foreign layers and absent subjects can be pushed.
func distribution(tb testing.TB, folder string, access configuration.Auth) http.Handler {
	tb.Helper()
	quiet()
	config := &configuration.Configuration{
		Storage: configuration.Storage{
			"filesystem":  {"rootdirectory": folder},
			"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
			"redirect":    {"disable": true},
		},
		Auth:       access,
		Validation: configuration.Validation{Disabled: true},
	}
	config.HTTP.Secret = "e2e"
	config.HTTP.RelativeURLs = true
	app := handlers.NewApp(context.WithoutCancel(tb.Context()), config)
	tb.Cleanup(func() {
		if err := app.Shutdown(); err != nil {
			tb.Errorf("shut distribution down: %v", err)
		}
	})
	return app
}
