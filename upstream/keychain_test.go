package upstream_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

const (
	ecrHost   = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
	cloudUser = "cloud-user"
	cloudWord = "cl0ud-hunter2"
)

// cloud is a vendor's service on loopback, and an environment that has nothing else.
func cloud(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	for _, name := range []string{"HOME", "AWS_PROFILE", "GOOGLE_APPLICATION_CREDENTIALS", "AWS_CA_BUNDLE", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "IDENTITY_ENDPOINT"} {
		t.Setenv(name, "") // which it has again afterwards
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("NO_PROXY", "*")
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func keyed(name string, n *upstreamtest.Network) func(*upstream.Config) {
	return func(cfg *upstream.Config) {
		on(n)(cfg)
		cfg.Credentials = []upstream.Credential{map[string]func() upstream.Credential{
			"ecr": upstream.ECR, "google": upstream.Google, "azure": upstream.Azure,
		}[name]()}
	}
}

// pulled pulls from a registry at host, which wants the cloud's login as a password.
func pulled(t *testing.T, host, keychain, user, word string) *upstream.Client {
	t.Helper()
	reg, n := upstreamtest.New(t), upstreamtest.NewNetwork(t)
	reg.AddImage("a", "1")
	reg.RequireBasic(user, word)
	c := newClient(t, n.Serve("https://"+host, reg), keyed(keychain, n))
	fetch(t, c, manifest("a", "1"))
	fetch(t, c, manifest("a", "1"))
	return c
}

// aws is its API for logins.
func aws(t *testing.T, asked *[]string) {
	url := cloud(t, func(w http.ResponseWriter, q *http.Request) {
		*asked = append(*asked, q.Header.Get("X-Amz-Target"))
		signature := q.Header.Get("Authorization")
		if !strings.Contains(signature, "Credential=AKIAEXAMPLE/") {
			w.Header().Set("X-Amzn-Errortype", "UnrecognizedClientException")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"message": "The security token included in the request is invalid."}`)
			return
		}
		data := fmt.Sprintf(`{"authorizationToken": %q, "expiresAt": %d, "proxyEndpoint": "https://%s"}`,
			base64.StdEncoding.EncodeToString([]byte(cloudUser+":"+cloudWord)), time.Now().Add(12*time.Hour).Unix(), ecrHost)
		if strings.Contains(signature, "/us-east-1/") {
			fmt.Fprintf(w, `{"authorizationData": %s}`, data)
			return
		}
		fmt.Fprintf(w, `{"authorizationData": [%s]}`, data)
	})
	t.Setenv("AWS_ENDPOINT_URL_ECR", url)
	t.Setenv("AWS_ENDPOINT_URL_ECR_PUBLIC", url)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s3cret-hunter2")
}

func TestECR(t *testing.T) {
	for host, target := range map[string]string{
		ecrHost:          "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
		"public.ecr.aws": "SpencerFrontendService.GetAuthorizationToken",
	} {
		t.Run(host, func(t *testing.T) {
			var asked []string
			aws(t, &asked)
			c := pulled(t, host, "ecr", cloudUser, cloudWord)
			if len(asked) != 1 || asked[0] != target {
				t.Errorf("asked %q", asked)
			}
			want := upstream.Account{Kind: "ecr", Username: cloudUser}
			if all := c.Accounts(); len(all) != 1 || all[0] != want {
				t.Errorf("accounts %+v", all)
			}
			if files, err := os.ReadDir(os.Getenv("HOME")); err != nil || len(files) > 0 {
				t.Errorf("the login is on disk: %v, %v", files, err)
			}
		})
	}
}

func TestECRRefuses(t *testing.T) {
	var asked []string
	aws(t, &asked)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAWRONG")
	reg, n := upstreamtest.New(t), upstreamtest.NewNetwork(t)
	reg.RequireBasic(cloudUser, cloudWord)
	c := newClient(t, n.Serve("https://"+ecrHost, reg), keyed("ecr", n))
	e := refused(t, c, manifest("a", "1"))
	if e.Class != upstream.Unavailable || !strings.Contains(e.Message, "no login from ecr: ") ||
		!strings.Contains(e.Message, "The security token included in the request is invalid") || strings.Contains(e.Error(), "hunter2") {
		t.Errorf("%v: %s", e.Class, e.Message)
	}
}

// serviceAccount is a file as Google gives it, whose tokens come from url.
func serviceAccount(t *testing.T, url string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "berth@example.iam.gserviceaccount.com", "private_key_id": "1", "token_uri": url,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGoogle(t *testing.T) {
	asked := 0
	url := cloud(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token": %q, "token_type": "Bearer", "expires_in": 3600}`, cloudWord)
	})
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", serviceAccount(t, url))
	pulled(t, "europe-docker.pkg.dev", "google", "_token", cloudWord)
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

func TestGoogleRefuses(t *testing.T) {
	url := cloud(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error": "invalid_grant", "error_description": %q}`, cloudWord)
	})
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", serviceAccount(t, url))
	reg, n := upstreamtest.New(t), upstreamtest.NewNetwork(t)
	reg.RequireBasic("_token", cloudWord)
	c := newClient(t, n.Serve("https://gcr.io", reg), keyed("google", n))
	e := refused(t, c, manifest("a", "1"))
	if e.Message != "gcr.io: no login from google: the token service answered 400, invalid_grant" {
		t.Error(e.Message)
	}
}

// azureRegistry is a registry that gives tokens to who shows it a word of Azure.
func azureRegistry(t *testing.T, word string, exchanged *int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if err := q.ParseForm(); err != nil {
			t.Error(err)
		}
		switch form := q.PostForm; {
		case q.URL.Path == "/oauth2/exchange" && form.Get("access_token") == word && form.Get("service") == "berth.azurecr.io":
			*exchanged++
			fmt.Fprint(w, `{"refresh_token": "refresh-hunter2"}`)
		case q.URL.Path == "/oauth2/token" && form.Get("refresh_token") == "refresh-hunter2":
			fmt.Fprint(w, `{"access_token": "access-hunter2"}`)
		case q.Header.Get("Authorization") == "Bearer access-hunter2":
			fmt.Fprint(w, "manifest")
		default:
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://berth.azurecr.io/oauth2/token",service="berth.azurecr.io"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
}

func TestAzure(t *testing.T) {
	for name, word := range map[string]string{"taken": cloudWord, "refused": "wrong-hunter2"} {
		t.Run(name, func(t *testing.T) {
			url := cloud(t, func(w http.ResponseWriter, q *http.Request) {
				if q.URL.Query().Get("resource") != "https://containerregistry.azure.net" || q.Header.Get("X-Identity-Header") != "identity" {
					t.Errorf("asked for %s", q.URL)
				}
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"access_token": %q, "expires_on": "%d", "resource": "x", "token_type": "Bearer"}`, cloudWord, time.Now().Add(time.Hour).Unix())
			})
			t.Setenv("IDENTITY_ENDPOINT", url)
			t.Setenv("IDENTITY_HEADER", "identity")
			exchanged, n := 0, upstreamtest.NewNetwork(t)
			c := newClient(t, n.Serve("https://berth.azurecr.io", azureRegistry(t, word, &exchanged)), keyed("azure", n))
			if name == "refused" {
				e := refused(t, c, manifest("a", "1"))
				if e.Class != upstream.Unavailable || e.Message != "berth.azurecr.io: no login from azure: the registry answered 401 Unauthorized when it was shown who we are" {
					t.Errorf("%v: %s", e.Class, e.Message)
				}
				return
			}
			fetch(t, c, manifest("a", "1"))
			fetch(t, c, manifest("b", "1"))
			if exchanged != 1 {
				t.Errorf("exchanged %d times", exchanged)
			}
		})
	}
}

// What a cloud gives opens more than one registry: it goes to none but the cloud's own.
func TestKeychainsAreForTheirOwn(t *testing.T) {
	for name, hosts := range map[string]string{
		"ecr":    "https://r.example.com https://ecr.eu-west-1.amazonaws.com https://" + ecrHost + ".example.com http://" + ecrHost,
		"google": "https://r.example.com https://notgcr.io https://gcr.io.example.com http://gcr.io",
		"azure":  "https://r.example.com https://azurecr.io.example.com https://notazurecr.io http://berth.azurecr.io",
	} {
		for host := range strings.FieldsSeq(hosts) {
			n := upstreamtest.NewNetwork(t)
			if err := tryClient(t, host, keyed(name, n)); err == nil || !strings.HasPrefix(err.Error(), "bad upstream hub: keychain "+name+" is for ") {
				t.Errorf("%s for %s: %v", name, host, err)
			}
		}
	}
}
