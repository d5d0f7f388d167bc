package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// stalledFill is a fill of a blob of 1 MiB, with segments of 64 KiB, whose first connection
// stands still after 100,000 bytes, until release.
type stalledFill struct {
	*rig
	digest  digest.Digest
	content []byte
	whole   *http.Response
	release func()
}

func newStalledFill(t *testing.T, faults ...upstreamtest.Fault) *stalledFill {
	t.Helper()
	f := &stalledFill{rig: newRig(t, plan{upstreams: []far{{name: "hub", change: func(u *catalog.Upstream) {
		u.Connections, u.SegmentSize = 4, 64<<10
	}}}})}
	f.begin(1, faults...)
	return f
}

// begin makes a new fill stall. The faults are for ranges of it.
func (f *stalledFill) begin(seed uint64, faults ...upstreamtest.Fault) {
	f.tb.Helper()
	hub := f.hubs["hub"]
	f.content = noise(seed, 1<<20)
	f.digest = hub.AddBlob("app", f.content)
	release := make(chan struct{})
	f.release = func() { close(release) }
	hub.Mend()
	hub.Fail(func(q *http.Request) bool { return q.Header.Get("Range") == "" && q.Method == http.MethodGet },
		upstreamtest.Fault{Release: release, StallAfter: 100_000, Times: 1, Header: http.Header{"Etag": {`"one"`}}})
	for _, fault := range faults {
		hub.Fail(upstreamtest.On("GET blob"), fault)
	}
	var err error
	f.whole, err = f.open(blobPath("app", f.digest))
	check(f.tb, err)
}

// ahead asks for the middle of the blob and gives what came to the channel.
func (f *stalledFill) ahead() <-chan answer {
	came := make(chan answer, 1)
	go func() { came <- f.do("GET", blobPath("app", f.digest), "Range", "bytes=500000-500099") }()
	synctest.Wait()
	return came
}

func (f *stalledFill) check(a answer) {
	f.tb.Helper()
	if a.StatusCode != http.StatusPartialContent || string(a.body) != string(f.content[500_000:500_100]) || a.cut != nil {
		f.tb.Errorf("ahead: %s, %d bytes, cut %v", a.Status, len(a.body), a.cut)
	}
}

// finish reads the whole blob.
func (f *stalledFill) finish() {
	f.tb.Helper()
	defer f.whole.Body.Close()
	if got, err := io.ReadAll(f.whole.Body); err != nil || string(got) != string(f.content) {
		f.tb.Errorf("whole: %d bytes, %v", len(got), err)
	}
}

// lines are requests for the blob with these ranges; empty is none.
func (f *stalledFill) lines(ranges ...string) []string {
	var lines []string
	for _, r := range ranges {
		lines = append(lines, strings.TrimSpace("GET blob app@"+upstreamtest.Short(f.digest)+" "+r))
	}
	return lines
}

// TestSegmentFetchedFirst: a client's range far ahead of a fill is there at once, for one
// request, and what it brought is not fetched again.
func TestSegmentFetchedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStalledFill(t)
		began := time.Now()
		f.check(<-f.ahead())
		if took := time.Since(began); took > 0 {
			t.Errorf("waited %v", took)
		}
		f.asked("hub", f.lines("", "bytes=500000-565535")...)
		f.release()
		f.finish()
		f.asked("hub", f.lines("bytes=565536-")...)
	})
}

// TestSegmentNotGiven: an upstream that does not answer with the segment asked for is asked
// once; the fill goes on over the connection it has, and nothing else is concluded.
func TestSegmentNotGiven(t *testing.T) {
	for name, fault := range map[string]upstreamtest.Fault{
		"429":            {Status: 429, Header: http.Header{"Retry-After": {"50"}}},
		"416":            {Status: 416},
		"404":            {Status: 404},
		"500":            {Status: 500},
		"503":            {Status: 503},
		"cut":            {CutAfter: -1},
		"another ETag":   {Header: http.Header{"Etag": {`"two"`}}},
		"another digest": {Digest: "sha256:" + strings.Repeat("ab", 32)},
		"another range":  {Header: http.Header{"Content-Range": {"bytes 0-65535/1048576"}}},
		"another size":   {Header: http.Header{"Content-Range": {"bytes 500000-565535/1048577"}}},
		"whole":          {Header: http.Header{"Content-Range": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newStalledFill(t, fault)
				came := f.ahead()
				f.asked("hub", f.lines("", "bytes=500000-565535")...)
				f.release()
				f.finish()
				f.check(<-came)
				f.asked("hub")
				f.hubs["hub"].Mend()
				f.get(manifestPath("app", "1"))
				f.asked("hub", "GET manifest app:1")
			})
		})
	}
}

// TestSegmentsIgnored: who answers ranges with everything, or says that there are none.
func TestSegmentsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStalledFill(t)
		f.release()
		f.finish()
		f.hubs["hub"].Reset()
		f.hubs["hub"].IgnoreRanges(true)
		f.begin(2)
		came := f.ahead()
		f.asked("hub", f.lines("", "bytes=500000-565535")...)
		f.release()
		f.finish()
		f.check(<-came)
		f.asked("hub")
	})
}

// TestSegmentsLimited: after a 429 no segment is asked for until Retry-After, while all
// else goes on.
func TestSegmentsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newStalledFill(t, upstreamtest.Fault{Status: 429, Header: http.Header{"Retry-After": {"50"}}})
		came := f.ahead()
		f.release()
		f.finish()
		f.check(<-came)
		f.hubs["hub"].Reset()

		f.begin(2)
		came = f.ahead()
		time.Sleep(20 * time.Second) // less than the upstream may stand still
		f.asked("hub", f.lines("")...)
		f.release()
		f.finish()
		f.check(<-came)
		f.asked("hub")

		time.Sleep(31 * time.Second)
		f.begin(3)
		f.check(<-f.ahead())
		f.asked("hub", f.lines("", "bytes=500000-565535")...)
		f.release()
		f.finish()
	})
}
