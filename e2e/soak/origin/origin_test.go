package origin_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"go.uber.org/goleak"

	"github.com/berth-cache/berth/e2e/soak/origin"
	"github.com/berth-cache/berth/e2e/soak/truth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newOrigin(t *testing.T, options origin.Options) (*origin.Origin, *truth.Library) {
	t.Helper()
	l := truth.NewLibrary(1, truth.Size{Repositories: 1, Images: 2, HugeBytes: 1 << 20}, "a")
	return origin.New(t, "a", l, options), l
}

// answer is what came of a request; end is "" for all of it, "cut" for less, "none" for
// no answer.
type answer struct {
	Status int
	Digest digest.Digest // of what came
	End    string
}

// ask sends a request with a login for tokens, where one is wanted.
func ask(t *testing.T, o *origin.Origin, path string, header ...string) (answer, http.Header) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+o.Addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(q)
	if err != nil {
		return answer{End: "none"}, nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	got := answer{Status: response.StatusCode, Digest: digest.FromBytes(body)}
	if err != nil {
		got.End = "cut"
	}
	return got, response.Header
}

func TestFaults(t *testing.T) {
	whole := answer{Status: http.StatusOK}
	for fault, want := range map[origin.Fault]answer{
		origin.Delay:    whole,
		origin.Slow:     whole,
		origin.Stall:    whole,
		origin.Early:    {End: "none"},
		origin.Cut:      {Status: http.StatusOK, Digest: "other", End: "cut"},
		origin.Corrupt:  {Status: http.StatusOK, Digest: "other"},
		origin.Short:    {Status: http.StatusOK, Digest: "other"},
		origin.Long:     {Status: http.StatusOK, End: "cut"},
		origin.Portal:   {Status: http.StatusOK, Digest: "other"},
		origin.Internal: {Status: http.StatusInternalServerError, Digest: "other"},
		origin.Ill:      {Status: http.StatusServiceUnavailable, Digest: "other"},
		origin.Limited:  {Status: http.StatusTooManyRequests, Digest: "other"},
	} {
		t.Run(string(fault), func(t *testing.T) {
			o, l := newOrigin(t, origin.Options{})
			b := l.Huge.Blobs[1]
			if want.Digest == "" && want.End != "none" {
				want.Digest = b.Digest
			}
			o.Storm(origin.Mood{fault: 1})
			got, _ := ask(t, o, "/v2/huge/app/blobs/"+b.Digest.String())
			if got.Digest != "" && got.Digest != b.Digest {
				got.Digest = "other"
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(map[origin.Fault]int{fault: 1}, o.Faults()); diff != "" {
				t.Error(diff)
			}
			o.Calm()
			if got, _ := ask(t, o, "/v2/huge/app/blobs/"+b.Digest.String()); got != (answer{200, b.Digest, ""}) {
				t.Errorf("calm: %v", got)
			}
		})
	}
}

func TestTokensAndStorage(t *testing.T) {
	o, l := newOrigin(t, origin.Options{Tokens: true, Storage: true})
	path := "/v2/huge/app/blobs/" + l.Huge.Blobs[1].Digest.String()
	refused, header := ask(t, o, path)
	if refused.Status != 401 || !strings.Contains(header.Get("WWW-Authenticate"), `scope="repository:huge/app:pull"`) {
		t.Fatalf("%v %v", refused, header)
	}
	const login = "Basic cm9ib3Q6c29hay1zZWNyZXQ=" // robot:soak-secret
	if got, _ := ask(t, o, "/token?scope=repository:huge/app:pull", "Authorization", login); got.Status != 200 {
		t.Fatalf("token: %v", got)
	}
	const token = "Bearer token-1"
	// The client drops the login on the way to storage, which would refuse it.
	if got, _ := ask(t, o, path, "Authorization", token); got.Digest != l.Huge.Blobs[1].Digest {
		t.Errorf("blob: %v", got)
	}
	if got, _ := ask(t, o, "/v2/huge/app/manifests/v0", "Authorization", token); got.Digest != l.Huge.Digest {
		t.Errorf("manifest: %v", got)
	}
	if got, _ := ask(t, o, "/v2/other/manifests/v0", "Authorization", token); got.Status != 401 {
		t.Errorf("another repository: %v", got)
	}
	o.Storm(origin.Mood{origin.TokenGone: 1})
	if got, _ := ask(t, o, "/v2/huge/app/manifests/v0", "Authorization", token); got.Status != 401 {
		t.Errorf("expired token: %v", got)
	}
}

func TestStopAndStart(t *testing.T) {
	o, l := newOrigin(t, origin.Options{NoRanges: true})
	o.Stop()
	if got, _ := ask(t, o, "/v2/huge/app/manifests/v0"); got.End != "none" {
		t.Errorf("stopped: %v", got)
	}
	o.Start(t)
	if got, _ := ask(t, o, "/v2/huge/app/blobs/"+l.Huge.Blobs[0].Digest.String(), "Range", "bytes=1-"); got.Status != 200 || got.Digest != l.Huge.Blobs[0].Digest {
		t.Errorf("range: %v", got)
	}
}

func TestTLS(t *testing.T) {
	o, l := newOrigin(t, origin.Options{TLS: true})
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(o.Authority()) {
		t.Fatalf("no authority in %q", o.Authority())
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	path := "/v2/huge/app/manifests/v0"
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.URL(o.Addr)+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		response, err := (&http.Client{Transport: transport}).Do(q)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.ProtoMajor != 2 || digest.FromBytes(body) != l.Huge.Digest {
			t.Errorf("%s, %d bytes, %v", response.Proto, len(body), err)
		}
	}
	if diff := cmp.Diff(map[string]int{"GET " + path: 2}, o.Asked()); diff != "" || o.Connections() != 1 {
		t.Errorf("%d connections, asked (-want +got):\n%s", o.Connections(), diff)
	}
	if n := len(o.Asked()); n > 0 {
		t.Errorf("%d things asked for again", n)
	}
}
