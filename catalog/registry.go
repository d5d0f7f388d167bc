package catalog

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Forever is a validity that never ends.
const Forever time.Duration = 1<<63 - 1

// Upstream is a registry that a Berth pulls from, as routing and freshness see it.
type Upstream struct {
	// Name is what the configuration calls it.
	Name string
	// ID is the fingerprint of its address and account: the name under which things are
	// kept, so that renaming keeps them and another account does not find them.
	ID string
	// Hosts are the names clients know it by, lower-case, "host" or "host:port".
	Hosts []string

	// Owns are names, or the beginnings of names up to a slash, that belong to it: in a
	// registry that has it, a walk asks for them nowhere else.
	Owns []string
	// Referrers, if set, is where what refers to its images is: those below ReferrersFor, or
	// all if that is empty. It is asked for referrers and digests alone.
	Referrers    *Upstream
	ReferrersFor []string
	// Login: a credential is configured for it.
	Login bool

	// Epoch differs when the Client was made anew, with other credentials perhaps: what was
	// refused to the one before is not remembered.
	Epoch int

	// Client is what package pull asks it by; the catalog only carries it. So a request finds
	// the client that it was routed to, whatever the catalog has been replaced by since.
	Client any

	Validity         time.Duration // how long a tag is served without asking; 0 asks every time
	NegativeValidity time.Duration // how long "not here" is believed
	ListValidity     time.Duration // like Validity, for tag lists, referrers and signature tags
	MaxStale         time.Duration // how long after its last check a tag is served while ill
	MaxStaleRefused  time.Duration // the same while the upstream refuses the credential
	KeepDeleted      bool          // serve a tag that the upstream no longer has

	Connections int   // how many one large blob may come over; 1, or less, is no more than one
	SegmentSize int64 // the least bytes that one of them asks for at a time
}

// DockerHub tells whether this is Docker Hub, whose official images have an implied
// "library/" in front.
func (u *Upstream) DockerHub() bool { return slices.Contains(u.Hosts, "docker.io") }

// Registry is what users pull from: a name space with upstreams behind it.
type Registry struct {
	Name string
	// Path leads to it below the host, empty for the default registry. It has no dot.
	Path string
	// Hosts lead to it by the Host header, as its root.
	Hosts []string
	// Upstreams in the order they are asked.
	Upstreams []*Upstream
	// NextOnError lets the walk go on to the next upstream when one is ill. Then a name
	// that belongs to the ill one may be answered by another.
	NextOnError bool
	// PinOrigin refuses tags of a repository from any upstream but its origin, for as long
	// as that is one of Upstreams and known: origins unused for 90 days are forgotten.
	PinOrigin bool

	// claims are what Upstreams own, the longest first.
	claims []claim
}

// claim is a name, or the beginning of one, and who owns it.
type claim struct {
	name   string
	owners []*Upstream
}

// claimed gathers what the upstreams own.
func (r *Registry) claimed() []claim {
	var claims []claim
	for _, u := range r.Upstreams {
		for _, name := range u.Owns {
			i := slices.IndexFunc(claims, func(c claim) bool { return c.name == name })
			if i < 0 {
				i, claims = len(claims), append(claims, claim{name: name})
			}
			claims[i].owners = append(claims[i].owners, u)
		}
	}
	slices.SortStableFunc(claims, func(a, b claim) int { return len(b.name) - len(a.name) })
	return claims
}

// below tells whether a repository is name, or begins with it and a slash.
func below(repository, name string) bool {
	rest, ok := strings.CutPrefix(repository, name)
	return ok && (rest == "" || rest[0] == '/')
}

// SourceFor is where the referrers of u's repository are, if not at u; nil else.
func (u *Upstream) SourceFor(repository string) *Upstream {
	if u.Referrers == nil || len(u.ReferrersFor) > 0 &&
		!slices.ContainsFunc(u.ReferrersFor, func(name string) bool { return below(repository, name) }) {
		return nil
	}
	return u.Referrers
}

// Candidates are the upstreams that a walk asks for a repository, in order: those that own it,
// or all. It is nobody's to change.
func (r *Registry) Candidates(repository string) []*Upstream {
	for _, c := range r.claims {
		if below(repository, c.name) {
			return c.owners
		}
	}
	return r.Upstreams
}

// Catalog holds the current Snapshot.
type Catalog struct {
	current atomic.Pointer[Snapshot]
}

// New returns a Catalog that begins with s.
func New(s *Snapshot) *Catalog {
	c := new(Catalog)
	c.current.Store(s)
	return c
}

// Snapshot returns what exists now.
func (c *Catalog) Snapshot() *Snapshot { return c.current.Load() }

// Replace makes s what exists from now on; requests under way keep what they began with.
func (c *Catalog) Replace(s *Snapshot) { c.current.Store(s) }

// Snapshot is what exists at one moment. It is never changed.
type Snapshot struct {
	byPath map[string]*Registry
	byHost map[string]*Registry
}

// NewSnapshot indexes registries. It returns an error when two share a path or a host.
func NewSnapshot(registries []*Registry) (*Snapshot, error) {
	s := &Snapshot{byPath: map[string]*Registry{}, byHost: map[string]*Registry{}}
	for _, r := range registries {
		if other, taken := s.byPath[r.Path]; taken {
			return nil, fmt.Errorf("registries %s and %s share the path %q", other.Name, r.Name, r.Path)
		}
		s.byPath[r.Path] = r
		r.claims = r.claimed()
		for _, h := range r.Hosts {
			h = strings.ToLower(h)
			if other, taken := s.byHost[h]; taken {
				return nil, fmt.Errorf("registries %s and %s share the host %s", other.Name, r.Name, h)
			}
			s.byHost[h] = r
		}
	}
	return s, nil
}
