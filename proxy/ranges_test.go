package proxy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

const rangedSize = 100_000

// span is a stretch of the blob, from the first byte to the last, both included.
type span struct{ from, to int }

func (s span) String() string {
	return fmt.Sprintf("bytes %d-%d/%d", s.from, s.to, rangedSize)
}

func (s span) of(b []byte) string { return string(b[s.from : s.to+1]) }

// rangeCases are what clients ask of a blob of rangedSize bytes, quote being its ETag.
func rangeCases(quote string) map[string]rangeCase {
	return map[string]rangeCase{
		"one":                           {ask: "bytes=100-199", spans: []span{{100, 199}}},
		"first byte":                    {ask: "bytes=0-0", spans: []span{{0, 0}}},
		"last byte":                     {ask: "bytes=-1", spans: []span{{99_999, 99_999}}},
		"suffix":                        {ask: "bytes=-500", spans: []span{{99_500, 99_999}}},
		"suffix longer than the blob":   {ask: "bytes=-200000", spans: []span{{0, 99_999}}},
		"open":                          {ask: "bytes=99000-", spans: []span{{99_000, 99_999}}},
		"open from the start":           {ask: "bytes=0-", spans: []span{{0, 99_999}}},
		"clamped":                       {ask: "bytes=99990-200000", spans: []span{{99_990, 99_999}}},
		"two":                           {ask: "bytes=0-9,50000-50099", spans: []span{{0, 9}, {50_000, 50_099}}},
		"three, out of order, a suffix": {ask: "bytes=60000-60009, 5-5 ,-10", spans: []span{{60_000, 60_009}, {5, 5}, {99_990, 99_999}}},
		"one of two beyond the end":     {ask: "bytes=0-9,100000-", spans: []span{{0, 9}}},
		"more in all than the blob":     {ask: "bytes=0-99999,0-99999", status: 200},
		"If-Range agrees":               {ask: "bytes=0-9", header: []string{"If-Range", quote}, spans: []span{{0, 9}}},
		"If-Range is of another":        {ask: "bytes=0-9", header: []string{"If-Range", `"other"`}, status: 200},
		"If-Range is a date":            {ask: "bytes=0-9", header: []string{"If-Range", "Mon, 02 Jan 2006 15:04:05 GMT"}, status: 200},
		"If-None-Match agrees":          {ask: "bytes=0-9", header: []string{"If-None-Match", quote}, status: 304},
		"If-None-Match is of another":   {ask: "bytes=0-9", header: []string{"If-None-Match", `"other"`}, spans: []span{{0, 9}}},
		"If-Match is of another":        {ask: "bytes=0-9", header: []string{"If-Match", `"other"`}, status: 412},
		"another unit":                  {ask: "items=0-9", status: 200},
		"beyond the end":                {ask: "bytes=100000-", status: 416, size: "bytes */100000"},
		"all beyond the end":            {ask: "bytes=100000-,200000-200001", status: 416, size: "bytes */100000"},
		"backwards":                     {ask: "bytes=9-5", status: 416, size: "bytes */100000"},
		"no number":                     {ask: "bytes=a-b", status: 416, size: "bytes */100000"},
		"nothing":                       {ask: "bytes=-", status: 416, size: "bytes */100000"},
	}
}

type rangeCase struct {
	ask    string
	header []string
	// spans are what a 206 has; one is the body, several are parts.
	spans []span
	// status is another answer: a 200 has the whole blob, a 416 Content-Range size and
	// the API's kind of error.
	status int
	size   string
}

func (c rangeCase) check(t *testing.T, a answer, blob []byte) {
	t.Helper()
	if a.cut != nil {
		t.Errorf("cut: %v", a.cut)
	}
	switch c.status {
	case 0:
		c.checkPartial(t, a, blob)
		return
	case http.StatusOK:
		if string(a.body) != string(blob) || a.Header.Get("Content-Range") != "" {
			t.Errorf("%d bytes, Content-Range %q; want the whole", len(a.body), a.Header.Get("Content-Range"))
		}
	case http.StatusRequestedRangeNotSatisfiable:
		checkRefused(t, a, c.size)
	default:
		if len(a.body) > 0 {
			t.Errorf("%d bytes with status %d", len(a.body), a.StatusCode)
		}
	}
	if a.StatusCode != c.status {
		t.Errorf("status %d, want %d", a.StatusCode, c.status)
	}
}

func (c rangeCase) checkPartial(t *testing.T, a answer, blob []byte) {
	t.Helper()
	if a.StatusCode != http.StatusPartialContent || a.ContentLength != int64(len(a.body)) {
		t.Fatalf("%s, %d bytes of %d", a.Status, len(a.body), a.ContentLength)
	}
	got := map[string]string{}
	if len(c.spans) == 1 {
		got[a.Header.Get("Content-Range")] = string(a.body)
	} else {
		got = parts(t, a)
	}
	want := map[string]string{}
	for _, s := range c.spans {
		want[s.String()] = s.of(blob)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stretches (-want +got):\n%s", diff)
	}
}

// parts are the bodies of a multipart answer by their Content-Range.
func parts(t *testing.T, a answer) map[string]string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		t.Fatalf("Content-Type %q, %v", a.Header.Get("Content-Type"), err)
	}
	all := map[string]string{}
	for r := multipart.NewReader(strings.NewReader(string(a.body)), params["boundary"]); ; {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return all
		}
		check(t, err)
		body, err := io.ReadAll(part)
		check(t, err)
		all[part.Header.Get("Content-Range")] = string(body)
	}
}

func checkRefused(t *testing.T, a answer, size string) {
	t.Helper()
	var told struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal(a.body, &told); err != nil || len(told.Errors) != 1 || told.Errors[0].Message == "" {
		t.Fatalf("the error is %q, %v", a.body, err)
	}
	got := []string{a.Header.Get("Content-Range"), a.Header.Get("Content-Type"), a.Header.Get("Content-Length"), told.Errors[0].Code}
	want := []string{size, "application/json", strconv.Itoa(len(a.body)), "UNSUPPORTED"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the error's headers and code (-want +got):\n%s", diff)
	}
}

func TestRangesOfABlobThatIsHeld(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
	blob := noise(1, rangedSize)
	d := r.hubs["hub"].AddBlob("app", blob)
	r.pulled(blobPath("app", d), blob)
	r.hubs["hub"].Stop()
	for name, c := range rangeCases(`"` + d.String() + `"`) {
		t.Run(name, func(t *testing.T) {
			c.check(t, r.do("GET", blobPath("app", d), append(c.header, "Range", c.ask)...), blob)
		})
	}
}

func TestRangesOfABlobThatIsArriving(t *testing.T) {
	const arrived = 70_000
	for name, c := range rangeCases(`"` + digest.FromBytes(noise(1, rangedSize)).String() + `"`) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
				blob := noise(1, rangedSize)
				d := r.hubs["hub"].AddBlob("app", blob)
				release := make(chan struct{})
				r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Release: release, StallAfter: arrived})
				var done sync.WaitGroup
				done.Go(func() { r.wantBody(blobPath("app", d), blob) })
				synctest.Wait()

				var got answer
				answered := make(chan struct{})
				done.Go(func() {
					got = r.do("GET", blobPath("app", d), append(c.header, "Range", c.ask)...)
					close(answered)
				})
				synctest.Wait()
				select {
				case <-answered:
					if c.waits(arrived) {
						t.Error("answered although bytes are missing")
					}
				default:
					if !c.waits(arrived) {
						t.Error("not answered although all bytes are there")
					}
				}
				close(release)
				done.Wait()
				c.check(t, got, blob)
				r.asked("hub", "GET blob app@"+short(d))
			})
		})
	}
}

// waits tells whether the answer needs more than the first bytes of the blob.
func (c rangeCase) waits(arrived int) bool {
	for _, s := range c.spans {
		if s.to >= arrived {
			return true
		}
	}
	return c.status == http.StatusOK
}

func TestRangeBeginsAFillOfTheWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		blob := noise(1, rangedSize)
		d := r.hubs["hub"].AddBlob("app", blob)
		c := rangeCase{spans: []span{{500, 599}}}
		c.check(t, r.do("GET", blobPath("app", d), "Range", "bytes=500-599"), blob)
		synctest.Wait()
		r.asked("hub", "GET blob app@"+short(d))
		r.hubs["hub"].Stop()
		r.pulled(blobPath("app", d), blob)
	})
}

func TestRangeOfABlobOfUnknownSizeWaitsForItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		blob := noise(1, rangedSize)
		d := digest.FromBytes(blob)
		release := make(chan struct{})
		r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Status: 200, Body: blob, Release: release, StallAfter: 70_000})
		var done sync.WaitGroup
		for ask, s := range map[string]span{"bytes=0-9": {0, 9}, "bytes=-10": {99_990, 99_999}} {
			done.Go(func() {
				rangeCase{spans: []span{s}}.check(t, r.do("GET", blobPath("app", d), "Range", ask), blob)
			})
		}
		synctest.Wait()
		close(release)
		done.Wait()
		r.asked("hub", "GET blob app@"+short(d))
	})
}

func TestHeadIgnoresRanges(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
	d := r.hubs["hub"].AddBlob("app", noise(1, rangedSize))
	for _, ask := range []string{"bytes=0-9", "bytes=0-9,20-29", "bytes=100000-"} {
		a := r.do("HEAD", blobPath("app", d), "Range", ask)
		if a.StatusCode != http.StatusOK || a.ContentLength != rangedSize || a.Header.Get("Content-Range") != "" {
			t.Errorf("HEAD with Range %s: %s, length %d, %v", ask, a.Status, a.ContentLength, a.Header)
		}
	}
}

func TestManifestsIgnoreRanges(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
	image := r.hubs["hub"].AddImage("app", "1", []byte("layer"))
	for _, reference := range []string{"1", image.Digest.String()} {
		for _, ask := range []string{"bytes=0-9", "bytes=0-9,20-29", "bytes=100000-", "nonsense"} {
			a := r.do("GET", manifestPath("app", reference), "Range", ask)
			if a.StatusCode != http.StatusOK || string(a.body) != string(image.Manifest) || a.Header.Get("Accept-Ranges") != "" {
				t.Errorf("GET %s with Range %s: %s, %d bytes, %v", reference, ask, a.Status, len(a.body), a.Header)
			}
		}
	}
}

func TestRangeOfAnEmptyBlobIsTheWhole(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
	d := r.hubs["hub"].AddBlob("app", nil)
	for range 2 {
		if a := r.do("GET", blobPath("app", d), "Range", "bytes=0-9"); a.StatusCode != http.StatusOK || a.ContentLength != 0 {
			t.Errorf("%s, length %d", a.Status, a.ContentLength)
		}
	}
}
