package proxy_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// sickStore is a store whose calls fail on demand.
type sickStore struct {
	store.Store

	mu    sync.Mutex // guards fault
	fault func(op string) (apply bool, err error)
}

func (s *sickStore) become(fault func(op string) (bool, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// call runs f, unless the fault is that nothing happens.
func (s *sickStore) call(op string, f func() error) error {
	s.mu.Lock()
	fault := s.fault
	s.mu.Unlock()
	apply, err := true, error(nil)
	if fault != nil {
		apply, err = fault(op)
	}
	if apply {
		if err := f(); err != nil {
			return err
		}
	}
	return err
}

func (s *sickStore) Open(ctx context.Context, d digest.Digest) (c store.Content, size int64, err error) {
	err = s.call("open", func() error { c, size, err = s.Store.Open(ctx, d); return err })
	return c, size, err
}

func (s *sickStore) Stat(ctx context.Context, d digest.Digest) (size int64, err error) {
	err = s.call("stat", func() error { size, err = s.Store.Stat(ctx, d); return err })
	return size, err
}

func (s *sickStore) Stage(ctx context.Context, size int64) (staged store.Staged, err error) {
	err = s.call("stage", func() error { staged, err = s.Store.Stage(ctx, size); return err })
	return &sickStaged{staged, s}, err
}

type sickStaged struct {
	store.Staged
	store *sickStore
}

func (s *sickStaged) WriteAt(b []byte, off int64) (n int, err error) {
	err = s.store.call("write", func() error { n, err = s.Staged.WriteAt(b, off); return err })
	return n, err
}

// failing is a fault of some calls.
func failing(err error, ops ...string) func(string) (bool, error) {
	return func(op string) (bool, error) {
		for _, o := range ops {
			if o == op {
				return false, err
			}
		}
		return true, nil
	}
}

// sickRig is a rig of one upstream whose store can fail.
func sickRig(t *testing.T, p plan) (*rig, *sickStore) {
	t.Helper()
	sick := &sickStore{}
	p.upstreams = append([]far{{name: "hub", change: func(u *catalog.Upstream) { u.Validity = time.Hour }}}, p.upstreams...)
	p.store = func(s store.Store) store.Store { sick.Store = s; return sick }
	return newRig(t, p), sick
}

// unstored is how an answer that was not kept says so.
const unstored = "berth; fwd=miss"

// Whatever is wrong with the store, and with the state too, pulls go on, and nothing is
// kept until it is well again.
func TestPullsWithStoreInTrouble(t *testing.T) {
	for name, fault := range map[string]func(string) (bool, error){
		"full":                      failing(syscall.ENOSPC, "stage"),
		"read-only":                 failing(syscall.EROFS, "stage"),
		"out of files":              failing(syscall.EMFILE, "stage", "open"),
		"gone":                      failing(syscall.EIO, "stage", "open", "stat"),
		"full, state failing":       failing(syscall.ENOSPC, "stage"),
		"full, state hanging, gone": failing(syscall.ENOSPC, "stage"),
	} {
		timeless(t, name, func(t *testing.T) {
			state := &sickState{}
			r, sick := sickRig(t, plan{state: state})
			hub := r.hubs["hub"]
			layer := noise(1, 300_000)
			image := hub.AddImage("app", "1", layer)
			sick.become(fault)
			switch {
			case strings.Contains(name, "failing"):
				state.become(stateFails)
			case strings.Contains(name, "hanging"):
				state.become(stateHangs)
			}
			for range 2 {
				for _, path := range []string{manifestPath("app", "1"), manifestPath("app", image.Digest.String())} {
					if a := r.pulled(path, image.Manifest); a.Header.Get("Cache-Status") != unstored {
						t.Errorf("%s: %s", path, a.Header.Get("Cache-Status"))
					}
				}
				if a := r.pulled(blobPath("app", image.Layers[0]), layer); a.Header.Get("Cache-Status") != unstored {
					t.Errorf("blob: %s", a.Header.Get("Cache-Status"))
				}
			}
			blob := "GET blob app@" + upstreamtest.Short(image.Layers[0])
			if n := hub.Count(blob); n != 3 {
				t.Errorf("the layer was asked for %d times for two pulls, want one more, which found that it cannot be kept", n)
			}
			sick.become(nil)
			state.become(nil)
			time.Sleep(time.Minute)
			r.pulled(manifestPath("app", "1"), image.Manifest)
			r.pulled(blobPath("app", image.Layers[0]), layer)
			synctest.Wait()
			hub.Stop()
			r.pulled(manifestPath("app", "1"), image.Manifest)
			if a := r.pulled(blobPath("app", image.Layers[0]), layer); a.Header.Get("Cache-Status") != "berth; hit" {
				t.Errorf("healed: %s", a.Header.Get("Cache-Status"))
			}
		})
	}
}

func TestUnstoredRanges(t *testing.T) {
	r, sick := sickRig(t, plan{})
	sick.become(failing(syscall.ENOSPC, "stage"))
	layer := noise(1, 300_000)
	path := blobPath("app", r.hubs["hub"].AddBlob("app", layer))
	for ask, want := range map[string]struct {
		status     int
		first, end int
	}{
		"bytes=0-9":         {206, 0, 10},
		"bytes=1000-1999":   {206, 1000, 2000},
		"bytes=200000-":     {206, 200_000, 300_000},
		"bytes=-1":          {206, 299_999, 300_000},
		"bytes=0-":          {206, 0, 300_000},
		"bytes=9-10,1-2":    {200, 0, 300_000}, // would lead backwards
		"bytes=300000-":     {416, 0, 0},
		"lines=1-2":         {200, 0, 300_000},
		"bytes=0-1000000":   {206, 0, 300_000},
		"bytes=299999-9999": {416, 0, 0},
	} {
		a := r.do("GET", path, "Range", ask)
		if a.StatusCode != want.status || a.cut != nil {
			t.Errorf("%s: %s, %v", ask, a.Status, a.cut)
			continue
		}
		if want.status != 416 && string(a.body) != string(layer[want.first:want.end]) {
			t.Errorf("%s: %d bytes, want %d", ask, len(a.body), want.end-want.first)
		}
		if got := a.Header.Get("Content-Range"); want.status == 206 && got != fmt.Sprintf("bytes %d-%d/300000", want.first, want.end-1) {
			t.Errorf("%s: Content-Range %q", ask, got)
		}
	}
	if a := r.do("HEAD", path); a.StatusCode != 200 || a.ContentLength != 300_000 {
		t.Errorf("HEAD: %s, %d bytes", a.Status, a.ContentLength)
	}
}

// Bytes that do not have the digest are cut before the last, in chunks as well.
func TestUnstoredBadBytes(t *testing.T) {
	for name, fault := range map[string]upstreamtest.Fault{
		"size told":     {Corrupt: true},
		"size not told": {Corrupt: true, Header: http.Header{"Content-Length": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			r, sick := sickRig(t, plan{})
			sick.become(failing(syscall.ENOSPC, "stage"))
			layer := noise(1, 300_000)
			path := blobPath("app", r.hubs["hub"].AddBlob("app", layer))
			r.hubs["hub"].Fail(upstreamtest.On("GET blob"), fault)
			for _, header := range [][]string{nil, {"Range", "bytes=200000-"}} {
				if a := r.do("GET", path, header...); a.cut == nil || len(a.body) >= len(layer) {
					t.Errorf("%s: %d bytes, cut %v", a.Status, len(a.body), a.cut)
				}
			}
			r.hubs["hub"].Mend()
			r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Header: fault.Header})
			if a := r.do("GET", path); a.cut != nil || string(a.body) != string(layer) {
				t.Errorf("right bytes: %s, %d bytes, cut %v", a.Status, len(a.body), a.cut)
			}
		})
	}
}

// A break upstream is resumed, at another upstream if need be.
func TestUnstoredResumes(t *testing.T) {
	timeless(t, "resumes", func(t *testing.T) {
		r, sick := sickRig(t, plan{upstreams: []far{{name: "other"}}})
		sick.become(failing(syscall.ENOSPC, "stage"))
		layer := noise(1, 300_000)
		d := r.hubs["hub"].AddBlob("app", layer)
		r.hubs["other"].AddBlob("app", layer)
		r.do("GET", blobPath("app", d), "Range", "bytes=0-0") // finds that it cannot be kept
		r.hubs["hub"].Reset()
		r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Times: 1, CutAfter: 100_000})
		r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Status: 500})
		r.pulled(blobPath("app", d), layer)
		if n := r.hubs["other"].Count("GET blob"); n != 1 {
			t.Errorf("the other upstream was asked %d times", n)
		}
	})
}

// A disk that fails in the middle of a blob is not noticed by those who are getting it.
func TestStoreFailsInMidBlob(t *testing.T) {
	timeless(t, "fails", func(t *testing.T) {
		r, sick := sickRig(t, plan{})
		hub := r.hubs["hub"]
		layer := noise(1, 3_000_000)
		d := hub.AddBlob("app", layer)
		release := make(chan struct{})
		hub.Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Times: 1, Release: release, StallAfter: 2_000_000})
		var clients sync.WaitGroup
		for range 3 {
			clients.Go(func() { r.wantBody(blobPath("app", d), layer) })
		}
		synctest.Wait()
		sick.become(failing(syscall.ENOSPC, "write", "stage"))
		close(release)
		clients.Wait()
		if n := r.values()["berth_unstored_pulls_total{reason=full}"]; n != 3 {
			t.Errorf("%v unstored pulls are counted", n)
		}
		if n := r.values()["berth_requests_total{kind=blob,outcome=broken,registry=default,upstream=hub}"]; n != 0 {
			t.Errorf("%v requests broke", n)
		}
		// What had come was not fetched again.
		if n := fetched(r, "blob"); n > 3_000_000+3*1_000_000+64<<10 {
			t.Errorf("%v bytes were fetched for 3 MB and three times the last third", n)
		}
	})
}

// A crowd gets a download each, and every one is counted.
func TestUnstoredCrowdIsCounted(t *testing.T) {
	r, sick := sickRig(t, plan{})
	sick.become(failing(syscall.ENOSPC, "stage"))
	layer := noise(1, 300_000)
	path := blobPath("app", r.hubs["hub"].AddBlob("app", layer))
	var crowd sync.WaitGroup
	for range 20 {
		crowd.Go(func() { r.wantBody(path, layer) })
	}
	crowd.Wait()
	if n := r.values()["berth_unstored_pulls_total{reason=full}"]; n != 20 {
		t.Errorf("%v unstored pulls are counted", n)
	}
	if n := r.hubs["hub"].Count("GET blob"); n < 21 || n > 40 {
		t.Errorf("%d downloads", n)
	}
}

// A tag that moved to what cannot be kept is served as it is now, but what is held stays
// in reach for when the upstream is gone.
func TestPointerStaysAtWhatIsHeld(t *testing.T) {
	timeless(t, "stays", func(t *testing.T) {
		r, sick := sickRig(t, plan{})
		hub := r.hubs["hub"]
		old := hub.AddImage("app", "1", []byte("old"))
		r.pulled(manifestPath("app", "1"), old.Manifest)
		sick.become(failing(syscall.ENOSPC, "stage"))
		now := hub.AddImage("app", "1", []byte("new"))
		time.Sleep(2 * time.Hour)
		for range 2 {
			if a := r.pulled(manifestPath("app", "1"), now.Manifest); a.Header.Get("Cache-Status") != unstored {
				t.Errorf("new: %s", a.Header.Get("Cache-Status"))
			}
		}
		if a := r.do("HEAD", manifestPath("app", "1")); a.Header.Get("Docker-Content-Digest") != now.Digest.String() {
			t.Errorf("HEAD tells %s", a.Header.Get("Docker-Content-Digest"))
		}
		hub.Stop()
		if a := r.pulled(manifestPath("app", "1"), old.Manifest); !strings.HasSuffix(a.Header.Get("Cache-Status"), "detail=upstream-unavailable") {
			t.Errorf("upstream gone: %s", a.Header.Get("Cache-Status"))
		}
		hub.Resume()
		sick.become(nil)
		if a := r.pulled(manifestPath("app", "1"), now.Manifest); a.Header.Get("Cache-Status") != "berth; fwd=stale; stored" {
			t.Errorf("healed: %s", a.Header.Get("Cache-Status"))
		}
		hub.Stop()
		r.pulled(manifestPath("app", "1"), now.Manifest)
	})
}
