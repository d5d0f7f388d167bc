package pull

import (
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache"
)

// Outcome is how an answer came about.
type Outcome string

// The outcomes. Those with a body that came from upstream are kept unless said otherwise.
const (
	Hit       Outcome = "hit"       // held, and fresh enough not to ask
	Miss      Outcome = "miss"      // fetched, or asked for, from upstream
	Unstored  Outcome = "unstored"  // fetched from upstream, but could not be kept
	Joined    Outcome = "joined"    // arriving already for somebody else
	Unchanged Outcome = "unchanged" // held; the upstream confirmed it just now
	Changed   Outcome = "changed"   // held an older one; fetched the newer
	Stale     Outcome = "stale"     // held, and served although the upstream could not confirm it
)

// Origin is what an answer says of where it comes from.
type Origin struct {
	// Upstream is the configured name of the upstream it came from.
	Upstream string
	Outcome  Outcome
	// Detail says why a stale answer is stale.
	Detail string
	// Age is the time since the upstream last confirmed it; zero for content that is
	// proved by its digest.
	Age time.Duration
}

// Manifest is a manifest, or for a HEAD what is known of it.
type Manifest struct {
	Origin
	Digest    digest.Digest
	MediaType string
	Size      int64 // bytes
	// Body is all of it, where a GET wants it. It is shared: nobody writes to it.
	Body []byte

	etag string // the upstream's
}

// Blob is a blob, or for a HEAD what is known of it.
type Blob struct {
	Origin
	Digest digest.Digest
	Size   int64 // bytes; -1 while nobody knows
	// Reader is nil for a HEAD, else the caller's to close. It may still be arriving.
	Reader *cache.Reader
}
