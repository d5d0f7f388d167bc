package config

import (
	"crypto/sha256"
	"crypto/tls"
	"log/slog"
	"math"
	"net/url"
	"time"
)

// Forever is the duration that `forever` gives. It is longer than any age, so comparing
// needs no special case; it must not be added to a time expressed in nanoseconds.
const Forever time.Duration = math.MaxInt64

// Config is a whole configuration, complete with defaults and free of faults.
type Config struct {
	// Empty tells that the file holds nothing, not even {}: all of it is defaults.
	Empty bool
	// Listen is the address of the registry, as host:port. The host may be
	// empty (every address), the port 0 (any free one). Default 127.0.0.1:5000.
	Listen string
	// TLS is the certificate with which Listen is served; none, and it is plain HTTP.
	TLS TLS
	// MaxConnections is how many connections of clients may be open at once, and how many
	// of their requests run; 0, the default, leaves that to what the system allows the process.
	MaxConnections int
	// Drain is how long Berth may take to stop, for pulls to finish. Default 30 s.
	Drain time.Duration
	// Ops is the address of metrics and health checks, as host:port, and differs from
	// Listen. Empty, which only `ops: ""` gives, means none. Default 127.0.0.1:5001.
	Ops string
	// PProf serves Go's profiles at Ops. Default: where Ops is a loopback address.
	PProf bool
	// Data is the folder that holds content and embedded state. A relative path in a file
	// starts at the file's folder, and Load makes it absolute. Default /var/lib/berth; ./berth-data without a file.
	Data string
	// Cache says how much content is held.
	Cache Cache
	// State says where small durable facts live.
	State State
	// Log says how much is logged and in which form.
	Log Log
	// Upstreams are the registries that images are pulled from, in the file's order, at
	// least one. Default: docker-hub, dhi, mcr and quay, without credentials.
	Upstreams []Upstream
	// Registries are what clients pull from, in the file's order, at least one. Default:
	// one named default with all Upstreams in their order.
	Registries []Registry
	// Files are all that Load read, the configuration first, then those that it names. None
	// for Parse and Default.
	Files []File
}

// File is a file as it was when it was read.
type File struct {
	// Path is the full path.
	Path string
	// Sum is of the content.
	Sum [sha256.Size]byte
}

// TLS is the certificate of a server.
type TLS struct {
	// Cert and Key are the paths of the PEM files, both or none: the certificate, with those
	// that lead to its authority after it, and its private key.
	Cert, Key string
	// Certificate is what they hold, with its Leaf. Parse leaves it nil.
	Certificate *tls.Certificate
}

// Cache says how much content is held.
type Cache struct {
	// MaxSize is how many bytes of content are held at most; 0 is any number. Default 0.
	MaxSize int64
	// MinFree is how many bytes of the file system that holds Data are left free; 0 is
	// none. Default 1 GiB.
	MinFree int64
	// Scrub is how many bytes a second are read, at most, to find content that is damaged;
	// 0 is none. Default 10 MiB.
	Scrub int64
}

// State says where small durable facts live.
type State struct {
	// Redis is the URL (redis:// or rediss://) of a server that several replicas share. It
	// may hold a password, hence a Secret. Empty means embedded, below Data.
	Redis Secret
}

// Log says how much is logged and in which form.
type Log struct {
	// Level is the least severe level that is logged. Default info.
	Level slog.Level
	// Format is the form of a line. Default LogText.
	Format LogFormat
}

// LogFormat is the form of a log line.
type LogFormat string

const (
	// LogText writes key=value pairs.
	LogText LogFormat = "text"
	// LogJSON writes one JSON object a line.
	LogJSON LogFormat = "json"
)

// Upstream is one remote registry with the account to use there; no two have the same URL
// and user name, by which their content is kept apart. The durations are zero
// or more; those that may be Forever say so.
type Upstream struct {
	// Name is the upstream's key in the file: [a-z0-9]([a-z0-9._-]*[a-z0-9])?.
	Name string
	// URL is scheme (http or https) and host, lower-case, without the scheme's default
	// port, and nothing else.
	URL *url.URL
	// Hosts are the names by which clients may choose this upstream, as host or
	// host:port, lower-case and without duplicates: those of the file in its order, then
	// the URL's own unless listed, and for Docker Hub docker.io and index.docker.io. No
	// two upstreams of one registry share one.
	Hosts []string
	// Owns are the names, or their beginnings up to a slash, that are asked for nowhere else
	// in a registry that has this upstream; without a slash at either end.
	Owns []string
	// Credentials are the accounts to use there, at most eight, no two alike: the first, and
	// while that cannot be used the next. None is anonymous. What is held belongs to the first.
	Credentials []Credential
	// Referrers is the upstream where what refers to this one's images is kept, if not here:
	// of the repositories below ReferrersFor, which are names as Owns are, or of all if that
	// is empty. It is asked for referrers and for digests alone.
	Referrers    string
	ReferrersFor []string
	// Rate is how many requests the upstream is sent at most, Concurrency how many at once;
	// none, the default, is as many as there are. What is beyond waits for its turn.
	Rate        Rate
	Concurrency int
	// Hardened marks the upstream's images as hardened, in the metrics. Default false.
	Hardened bool
	// Validity is how long a tag is served without asking again; 0 asks every time, and
	// Forever never again. Default 24 h.
	Validity time.Duration
	// NegativeValidity is how long "not here" is remembered. Default 60 s.
	NegativeValidity time.Duration
	// ListValidity is the Validity of tag lists, referrers and signature tags. Default 60 s.
	ListValidity time.Duration
	// MaxStale is how long after its last successful check a tag is still served while
	// the upstream is unavailable; 0 is never, Forever without end. Default 720 h (30 days).
	MaxStale time.Duration
	// MaxStaleRefused is MaxStale for an upstream that refuses our credentials; may be
	// Forever. Default 24 h.
	MaxStaleRefused time.Duration
	// KeepDeleted keeps serving a tag that the upstream no longer has. Default false.
	KeepDeleted bool
	// Connections is how many connections one large blob may come over, 1 to 32; 1 is always
	// one. Default 4.
	Connections int
	// SegmentSize is the least number of bytes that one of several connections asks for at a
	// time, 1 MiB to 1 GiB; blobs smaller than four of them come over one. Default 8 MiB.
	SegmentSize int64
	// Realms are the hosts (host or host:port, lower-case), besides the URL's own and its
	// domain's, whose token service may be sent the credentials. Default none.
	Realms []string
	// Private allows addresses of private networks, for redirects and realms as well.
	// Implied where the URL names localhost or a private address. Default false.
	Private bool
	// CAFile is a PEM file of certificate authorities to trust, beside the system's,
	// as a path that can be opened. Empty means none.
	CAFile string
	// CA is what CAFile holds, at least one certificate and no broken one. Parse leaves it nil.
	CA []byte
}

// Registry is one name space that clients pull from.
type Registry struct {
	// Name is the registry's key in the file; syntax as for Upstream.Name.
	Name string
	// Path is what stands before the repository in an image's name: lower-case
	// components parted by slashes, without dots. Unique. Empty for the registry named
	// default, and only there; the others' default is their name.
	Path string
	// Hosts are names (host or host:port, lower-case) at which this registry is the root.
	// No two registries share one. Default none.
	Hosts []string
	// Upstreams are the names of the upstreams to ask, in this order: at least one, each
	// once, all in Config.Upstreams.
	Upstreams []string
	// OnErrorNext goes on to the next upstream when one is unavailable (`on_error: next`)
	// instead of stopping there. Default false: another upstream's image of that name
	// would be somebody else's.
	OnErrorNext bool
	// PinOrigin refuses a repository's tags from any upstream but the first that had it.
	// Default false: then they are taken when that one has the repository no more.
	PinOrigin bool
}
