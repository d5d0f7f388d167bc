package load

import (
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/bench/image"
)

var (
	// ErrPlan says that a plan cannot be carried out.
	ErrPlan = errors.New("faulty plan")
	// ErrContent says that a plan's content has another digest than the plan says.
	ErrContent = errors.New("content has another digest")
)

// Plan says what to do to a server. Exactly one of Repeat, Sweep and Pull is set.
type Plan struct {
	// Addr is the server's host:port.
	Addr string `json:"addr"`
	// Certificate is the PEM form of whom to trust: it makes the connections TLS.
	Certificate string `json:"certificate,omitempty"`
	// Login asks for a token first, at the realm that the server names.
	Login bool `json:"login,omitempty"`
	// Bound ends the run whatever is left of it; what was under way then has failed.
	Bound time.Duration `json:"bound"`

	Repeat *Repeat `json:"repeat,omitempty"`
	Sweep  *Sweep  `json:"sweep,omitempty"`
	Pull   *Pull   `json:"pull,omitempty"`
}

// Repeat asks for the same things again and again, each connection at its own pace.
type Repeat struct {
	Method      string   `json:"method"`
	Targets     []Target `json:"targets"`
	Connections int      `json:"connections"`
	// Duration is how long new requests are begun, Requests how many at most.
	Duration time.Duration `json:"duration"`
	Requests int64         `json:"requests"`
}

// Sweep asks for blobs of a pool once each: numbers From to To-1.
type Sweep struct {
	Pool        image.Pool `json:"pool"`
	From        int        `json:"from"`
	To          int        `json:"to"`
	Connections int        `json:"connections"`
}

// Pull has clients that all begin at once, and each pull all of one image.
type Pull struct {
	Image   image.Spec `json:"image"`
	Clients int        `json:"clients"`
	// Parallel is how many blobs one client fetches at once, each over a connection of its
	// own.
	Parallel int `json:"parallel"`
}

// Target is something to ask for, and what must come back: the bytes of Blob, or Body.
type Target struct {
	Path   string        `json:"path"`
	Digest digest.Digest `json:"digest"`
	Blob   *image.Blob   `json:"blob,omitempty"`
	Body   []byte        `json:"body,omitempty"`
}

// ManifestTarget is an image's manifest by tag.
func ManifestTarget(m image.Image) Target {
	return Target{Path: manifestPath(m.Repository, image.Tag), Digest: m.Digest, Body: m.Manifest}
}

// BlobTarget is a blob of a repository.
func BlobTarget(repository string, p image.Part) Target {
	return Target{Path: "/v2/" + repository + "/blobs/" + p.Digest.String(), Digest: p.Digest, Blob: &p.Blob}
}

func manifestPath(repository, reference string) string {
	return "/v2/" + repository + "/manifests/" + reference
}

// size is the length of what must come back, in bytes.
func (t Target) size() int64 {
	if t.Blob != nil {
		return t.Blob.Size
	}
	return int64(len(t.Body))
}

// equal tells whether p is what the target has at offset.
func (t Target) equal(p []byte, offset int64) bool {
	if t.Blob != nil {
		return t.Blob.Equal(p, offset)
	}
	return offset+int64(len(p)) <= int64(len(t.Body)) && string(t.Body[offset:offset+int64(len(p))]) == string(p)
}

// check hashes what must come back: from then on comparing with it is as good as hashing.
func (t Target) check() error {
	got := digest.FromBytes(t.Body)
	if t.Blob != nil {
		got = t.Blob.Digest()
	}
	if got != t.Digest {
		return fmt.Errorf("check %s: %w: %s", t.Path, ErrContent, got)
	}
	return nil
}

func (p Plan) validate() error {
	set := 0
	fault := ""
	if r := p.Repeat; r != nil {
		set++
		if r.Connections < 1 || len(r.Targets) == 0 || r.Requests < 1 || r.Duration <= 0 {
			fault = "repeat needs connections, targets, a number of requests and a duration"
		}
		if r.Method != "GET" && r.Method != "HEAD" {
			fault = "repeat knows GET and HEAD"
		}
	}
	if s := p.Sweep; s != nil {
		set++
		if s.Connections < 1 || s.From < 0 || s.To <= s.From || s.To > s.Pool.Count {
			fault = "sweep needs connections and a part of its pool"
		}
	}
	if l := p.Pull; l != nil {
		set++
		if l.Clients < 1 || l.Parallel < 1 {
			fault = "pull needs clients and something in parallel"
		}
	}
	switch {
	case set != 1:
		fault = "one of repeat, sweep and pull"
	case p.Bound <= 0:
		fault = "no bound"
	case p.Addr == "":
		fault = "no address"
	}
	if fault != "" {
		return fmt.Errorf("%w: %s", ErrPlan, fault)
	}
	return nil
}
