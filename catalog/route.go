package catalog

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// Query is a name as a client used it.
type Query struct {
	// Host is the request's Host header.
	Host string
	// Namespace is the ns parameter, empty when absent.
	Namespace string
	// Name is the repository name of the path, already known to be well-formed. For a
	// ping below a path it is that path, and Route's Repository comes out empty.
	Name string
	// Ping asks only whether the name leads to a registry; without name and namespace,
	// whether there is any API here, so that Registry may come out empty.
	Ping bool
}

// Route is where a name leads.
type Route struct {
	Registry *Registry
	// Repository is the name at the upstreams.
	Repository string
	// Candidates are the upstreams to ask, in order. There is at least one.
	Candidates []*Upstream
	// Sources are further upstreams that have referrers of the repository, and what those
	// consist of. They are asked for digests, behind the candidates.
	Sources []*Upstream
	// Namespace is the ns parameter that was obeyed, to be answered as OCI-Namespace.
	Namespace string
}

// UnknownError says that a name leads nowhere, so that nobody is asked.
type UnknownError struct {
	// Reason is a sentence for the person who used the name.
	Reason string
}

func (e *UnknownError) Error() string { return e.Reason }

func unknown(format string, args ...any) error {
	return &UnknownError{Reason: fmt.Sprintf(format, args...)}
}

// Route follows a name: to a registry by host, by the longest path, or the default one;
// then, if a host follows or ns is given, to exactly one of its upstreams. It returns an
// *UnknownError when the name leads nowhere.
func (s *Snapshot) Route(q Query) (Route, error) {
	reg, rest, err := s.registry(q)
	if err != nil {
		return Route{}, err
	}
	route := Route{Registry: reg, Repository: rest, Candidates: reg.Candidates(rest)}
	var chosen *Upstream

	if first, after, _ := strings.Cut(rest, "/"); strings.Contains(first, ".") {
		if chosen = reg.upstream(first); chosen == nil {
			return Route{}, unknown("no upstream of registry %s is called %s; it has %s", reg.Name, first, reg.hosts())
		}
		route.Repository = after
	}
	if q.Namespace != "" {
		named := reg.upstream(q.Namespace)
		switch {
		case named == nil:
			return Route{}, unknown("no upstream of registry %s is called ns=%s; it has %s", reg.Name, clip(q.Namespace), reg.hosts())
		case chosen != nil && chosen != named:
			return Route{}, unknown("the name asks for %s and ns for %s: use one of them", chosen.Name, named.Name)
		}
		chosen, route.Namespace = named, q.Namespace
	}
	if q.Ping {
		route.Repository = ""
		return route, nil
	}
	if route.Repository == "" {
		return Route{}, unknown("%s names a registry or an upstream, not a repository: put the repository's name after it", q.Name)
	}
	if chosen != nil {
		route.Candidates = []*Upstream{chosen}
		if chosen.DockerHub() && !strings.Contains(route.Repository, "/") {
			route.Repository = "library/" + route.Repository
		}
	}
	for _, u := range route.Candidates {
		if source := u.SourceFor(route.Repository); source != nil && !slices.Contains(route.Candidates, source) && !slices.Contains(route.Sources, source) {
			route.Sources = append(route.Sources, source)
		}
	}
	return route, nil
}

// registry finds the registry of a query and what of the name is left.
func (s *Snapshot) registry(q Query) (*Registry, string, error) {
	if len(s.byHost) > 0 {
		if r := s.hosted(q.Host); r != nil {
			return r, q.Name, nil
		}
	}
	for path := q.Name; path != ""; path = parent(path) {
		if r, ok := s.byPath[path]; ok {
			return r, strings.TrimPrefix(q.Name[len(path):], "/"), nil
		}
	}
	if r, ok := s.byPath[""]; ok {
		return r, q.Name, nil
	}
	if q.Ping && q.Name == "" && q.Namespace == "" {
		// Clients ping the bare API before they say a name, which may lead somewhere.
		return &Registry{}, "", nil
	}
	first, _, _ := strings.Cut(q.Name, "/")
	return nil, "", unknown("there is no registry at %s and no default registry", clip(first))
}

// hosted finds the registry of a Host header, which may carry a port that the
// configuration leaves out.
func (s *Snapshot) hosted(host string) *Registry {
	host = strings.ToLower(host)
	if r, ok := s.byHost[host]; ok {
		return r
	}
	if _, port, err := net.SplitHostPort(host); err == nil {
		return s.byHost[strings.TrimSuffix(host, ":"+port)] // an IPv6 address keeps its brackets
	}
	return nil
}

func (r *Registry) upstream(host string) *Upstream {
	host = strings.ToLower(host)
	for _, u := range r.Upstreams {
		for _, h := range u.Hosts {
			if h == host {
				return u
			}
		}
	}
	return nil
}

func (r *Registry) hosts() string {
	var all []string
	for _, u := range r.Upstreams {
		all = append(all, u.Hosts[0])
	}
	return strings.Join(all, ", ")
}

func parent(path string) string {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return ""
	}
	return path[:i]
}

// clip shortens what a client sent for a message.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
