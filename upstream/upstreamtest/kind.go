package upstreamtest

import (
	"net/url"
	"time"
)

// Kind is a kind of registry that people pull from. What is peculiar about each stands in
// known, with where it is known from.
type Kind string

// The kinds that there are.
const (
	DockerHub  Kind = "Docker Hub"
	DHI        Kind = "dhi.io"
	MCR        Kind = "MCR"
	Quay       Kind = "Quay"
	GHCR       Kind = "GHCR"
	ECR        Kind = "ECR"
	ECRPublic  Kind = "ECR Public"
	GAR        Kind = "GAR"
	Kubernetes Kind = "registry.k8s.io"
	ACR        Kind = "ACR"
	GitLab     Kind = "GitLab"
)

// Kinds are all of them.
func Kinds() []Kind {
	return []Kind{DockerHub, DHI, MCR, Quay, GHCR, ECR, ECRPublic, GAR, Kubernetes, ACR, GitLab}
}

// URL is where a registry of the kind is.
func (k Kind) URL() string { return known[k].url }

// traits are where the hosts of a kind are and how they behave.
type traits struct {
	url string
	// scheme is "Bearer", "Basic", or empty where everybody may come in. Others than members
	// get no token.
	scheme, realm, service string
	members                bool
	// storage is where it redirects blobs to, if anywhere.
	storage string
	quirks
}

// quirks are what a registry may do otherwise than the specification has it.
type quirks struct {
	// anonymous and member say how a repository that does not exist is hidden from those
	// without a login and with one.
	anonymous, member hidden
	// scopeless is the answer to an anonymous request for a token without a scope, tokenPost
	// to a request for one by POST, stale to a login that is good no more; 0 is as usual.
	scopeless, tokenPost, stale int
	// pingScope is the scope in the challenge on /v2/.
	pingScope string
	// blobHead and storageHead are the answers to a HEAD of a blob, and at the storage.
	blobHead, storageHead int
	// region is where everything is redirected to that is no blob, without its query.
	region string
	// noETag: manifests have none. oneLevel: names with a slash do not exist.
	noETag, oneLevel bool
	// countdown: a 429 tells in Retry-After how long is left. pace: so much time has to lie
	// between two pulls, which are GETs of manifests.
	countdown bool
	pace      time.Duration
	// lapse is how long after Login the password works; 0 is for ever.
	lapse time.Duration
}

// hidden says how a repository that does not exist is hidden: by the status of the token
// service, or of the registry itself; 0 is not at all.
type hidden struct{ token, resource int }

// known are the kinds' traits. Sources are named as owner/repository path.
var known = map[Kind]traits{
	DockerHub: {
		url:    "https://registry-1.docker.io",
		scheme: "Bearer", realm: "https://auth.docker.io/token", service: "registry.docker.io",
		// jupyterhub/binderhub#1664, docker-library/meta-scripts#33: since 2023 a repository that
		// is missing looks like one that is private, to a good token too.
		quirks: quirks{anonymous: hidden{resource: 401}, member: hidden{resource: 401}},
		// As firewalls' allow lists have it. Pulls and Limit have its limits.
		storage: "https://production.cloudflare.docker.com",
	},
	DHI: {
		url:    "https://dhi.io",
		scheme: "Bearer", realm: "https://dhi.io/token",
		// docker/docs content/manuals/dhi/how-to/use.md: free, but for those with a login of
		// Docker Hub, whose identity service it names although that is on another host.
		service: "registry.docker.io", members: true,
		// The same: images are dhi.io/<name>.
		quirks: quirks{oneLevel: true},
	},
	MCR: {
		url: "https://mcr.microsoft.com",
		// MicrosoftDocs/azure-docs container-registry-firewall-rules.md: layers come from a region.
		storage: "https://westeurope.data.mcr.microsoft.com",
	},
	Quay: {
		url:    "https://quay.io",
		scheme: "Bearer", realm: "https://quay.io/v2/auth", service: "quay.io",
		quirks: quirks{
			// quay/quay endpoints/v2/__init__.py: who may not read it is told 401, who may is told 404.
			anonymous: hidden{resource: 401},
			// quay/quay endpoints/v2/v2auth.py.
			scopeless: 401,
			// The digest is all that its manifests carry.
			noETag: true,
		},
	},
	GHCR: {
		url:    "https://ghcr.io",
		scheme: "Bearer", realm: "https://ghcr.io/token", service: "ghcr.io",
		quirks: quirks{
			// quay/quay#4235: the token service refuses what is missing or private.
			anonymous: hidden{token: 403}, member: hidden{token: 403},
			// spegel-org/spegel pkg/oci/client.go.
			pingScope: "repository:user/image:pull",
			// Its URLs are signed for GET.
			storageHead: 403,
		},
		// As firewalls' allow lists have it.
		storage: "https://pkg-containers.githubusercontent.com",
	},
	ECR: {
		url: "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com",
		// docs.aws.amazon.com AmazonECR/latest/userguide/registry_auth.html: AWS and a password
		// of twelve hours.
		scheme: "Basic", realm: "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/", service: "ecr.amazonaws.com",
		members: true,
		// awslabs/amazon-ecr-credential-helper#7: then 403, not 401.
		quirks: quirks{lapse: 12 * time.Hour, stale: 403},
		// S3, which answers 400 to a signed URL with another login: that is every Storage's.
		storage: "https://prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com",
	},
	ECRPublic: {
		url:    "https://public.ecr.aws",
		scheme: "Bearer", realm: "https://public.ecr.aws/token/", service: "public.ecr.aws",
		quirks: quirks{
			// aws/containers-roadmap#2835: an old token is answered 400, without a challenge.
			stale: 400,
			// Though anyone may GET it.
			blobHead: 401,
			// docs.aws.amazon.com AmazonECR/latest/public/public-service-quotas.html.
			pace: time.Second,
		},
	},
	GAR: {
		url:    "https://europe-docker.pkg.dev",
		scheme: "Bearer", realm: "https://europe-docker.pkg.dev/v2/token", service: "europe-docker.pkg.dev",
		quirks: quirks{
			// Its own words are "Unauthenticated request. … (or it may not exist)".
			anonymous: hidden{resource: 403}, member: hidden{resource: 403},
			// quay/quay#1906, which does not tell the status.
			scopeless: 400,
			// containerd/containerd core/remotes/docker/authorizer.go.
			tokenPost: 404,
		},
	},
	Kubernetes: {
		// kubernetes/registry.k8s.io cmd/archeio/internal/app/handlers.go: no challenge; blobs
		// come from S3 where it has them, all else from a region, to which no query goes along.
		url:     "https://registry.k8s.io",
		storage: "https://prod-registry-k8s-io-eu-west-1.s3.dualstack.eu-west-1.amazonaws.com",
		quirks:  quirks{region: "https://europe-west1-docker.pkg.dev/v2/k8s-artifacts-prod/images"},
	},
	ACR: {
		url:    "https://berth.azurecr.io",
		scheme: "Bearer", realm: "https://berth.azurecr.io/oauth2/token", service: "berth.azurecr.io",
		// MicrosoftDocs/azure-docs container-registry-skus.md; containerd as for GAR.
		quirks: quirks{countdown: true, tokenPost: 400},
		// The same, container-registry-firewall-rules.md.
		storage: "https://berth.westeurope.data.azurecr.io",
	},
	GitLab: {
		url: "https://registry.gitlab.com",
		// gitlabhq/gitlabhq app/services/auth/container_registry_authentication_service.rb: on
		// another host; whoever has a login gets a token, if for nothing.
		scheme: "Bearer", realm: "https://gitlab.com/jwt/auth", service: "container_registry",
		quirks: quirks{anonymous: hidden{token: 403, resource: 401}, member: hidden{resource: 401}, scopeless: 403},
	},
}

// Behave makes the registry behave as one of the kind, apart from where its hosts are:
// ServeKind puts those in place, too. Who has to log in is for Login to say.
func (r *Registry) Behave(k Kind) {
	t := known[k]
	r.login(func(a *auth) {
		a.scheme, a.service = t.scheme, t.service
		if t.members {
			a.user = "nobody yet"
		}
	})
	r.set(func(s *switches) { s.quirks = t.quirks })
}

// ServeKind puts r at all hosts of a kind, makes it behave as that, and returns the kind's URL.
func (n *Network) ServeKind(k Kind, r *Registry) string {
	n.tb.Helper()
	t := known[k]
	r.Behave(k)
	r.Realm(t.realm)
	n.Serve(t.url, r)
	for _, other := range []string{t.realm, t.region} {
		if base := n.origin(other); other != "" && base != t.url {
			n.Serve(base, r)
		}
	}
	if t.storage != "" {
		r.RedirectBlobs(n.Serve(t.storage, r.Storage()))
	}
	return t.url
}

// origin is the scheme and host of a URL.
func (n *Network) origin(raw string) string {
	n.tb.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		n.tb.Fatal(err)
	}
	return u.Scheme + "://" + u.Host
}
