package config

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var upstreamKeys = []string{
	"url", "hosts", "owns", "referrers", "referrers_for", "username", "password", "password_file", "docker_config", "keychain", "credentials", "hardened", "validity",
	"negative_validity", "list_validity", "max_stale", "max_stale_refused", "keep_deleted",
	"connections", "segment_size", "rate", "concurrency", "realms", "private", "ca_file",
}

// maxConnections is where one download would be an attack on small registries.
const maxConnections = 32

// version is the path of the registry API, which is often pasted with a URL.
var version = regexp.MustCompile(`^v[12]/?$`)

// hubSites are taken for Docker Hub's registry, which answers elsewhere.
var hubSites = []string{"docker.io", "index.docker.io", "hub.docker.com"}

var validKey = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$`)

// validRepository is the name of a repository, or whole words of its beginning.
var validRepository = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

// named adds a fault if p's key is no name for an upstream or a registry.
func (p pair) named() {
	if !validKey.MatchString(p.key) {
		p.keyFaultf("is no valid name; write lower-case letters and digits, and . _ - between them")
	}
}

// upstreams reads the upstreams block. The places are where each upstream's hosts came from,
// by its name.
func (v value) upstreams() (upstreams []Upstream, places map[string][]pair) {
	pairs, fine := v.pairs()
	if fine && len(pairs) == 0 {
		v.faultf("is empty; name at least one upstream, or remove the key to have the built-in ones")
	}
	places = map[string][]pair{}
	accounts, sources := map[string]pair{}, map[string]value{}
	for _, p := range pairs {
		p.named()
		u := newUpstream(p.key)
		places[p.key], sources[p.key] = p.upstream(&u)
		upstreams = append(upstreams, u)
		p.account(u, accounts)
	}
	checkReferrers(upstreams, sources)
	return upstreams, places
}

// account faults an upstream with the URL and user name of one before it.
func (p pair) account(u Upstream, taken map[string]pair) {
	if u.URL == nil {
		return
	}
	id := u.URL.String() + " " + u.account()
	if other, twice := taken[id]; twice {
		p.keyFaultf("has the url and username of upstream %s (line %d): they would share one cache; make them one upstream", other.key, other.line)
		return
	}
	taken[id] = p
}

// upstream reads one upstream into u, which has the defaults, and returns its hosts, and
// where it names its source of referrers.
func (v value) upstream(u *Upstream) (hosts []pair, source value) {
	f := v.fields(upstreamKeys)
	if f.of == nil {
		return nil, value{}
	}
	hosts = f.upstreamHosts(u)
	u.Realms = names(f.get("realms").hosts())

	u.Owns = f.get("owns").repositories()
	f.get("referrers").word(&u.Referrers)
	u.ReferrersFor = f.get("referrers_for").repositories()
	if len(u.ReferrersFor) > 0 && u.Referrers == "" {
		f.get("referrers_for").faultf("has no referrers beside it; write the upstream that has them")
	}

	f.get("hardened").flag(&u.Hardened)
	f.get("validity").durationOrForever(&u.Validity)
	f.get("negative_validity").duration(&u.NegativeValidity)
	f.get("list_validity").duration(&u.ListValidity)
	f.get("max_stale").durationOrForever(&u.MaxStale)
	f.get("max_stale_refused").durationOrForever(&u.MaxStaleRefused)
	f.get("keep_deleted").flag(&u.KeepDeleted)
	if n := f.get("connections"); n.count(&u.Connections, 1) && u.Connections > maxConnections {
		n.faultf("is more than any registry likes; write 1 to %d", maxConnections)
	}
	if size := f.get("segment_size"); size.size(&u.SegmentSize) && (u.SegmentSize < 1<<20 || u.SegmentSize > 1<<30) {
		size.faultf("is out of range; write 1MiB to 1GiB")
	}

	f.get("rate").rate(&u.Rate)
	f.get("concurrency").count(&u.Concurrency, 1)

	f.private(u)
	f.credentials(u)
	if ca := f.get("ca_file"); ca.filePath(&u.CAFile) && u.CAFile != "" && v.open {
		u.CA = ca.authorities(u.CAFile)
	}
	return hosts, f.get("referrers")
}

// upstreamHosts reads the URL and the further names of u, and returns all names that it has.
func (f fields) upstreamHosts(u *Upstream) []pair {
	host := f.get("url").upstreamURL(&u.URL)
	hosts := f.get("hosts").hosts()
	own := []string{host}
	if host == hubHost {
		own = append(slices.Clone(hubNames), host)
	}
	for _, h := range own {
		if h != "" && !contains(hosts, h) {
			hosts = append(hosts, pair{key: h, line: f.get("url").line, value: f.get("url")})
		}
	}
	u.Hosts = names(hosts)
	return hosts
}

// repositories reads names of repositories, or whole words of their beginnings.
func (v value) repositories() (names []string) {
	words, _ := v.words()
	for _, w := range words {
		name := strings.TrimSuffix(w.key, "/")
		switch {
		case !validRepository.MatchString(name):
			w.faultf("%s is no name of a repository, nor the beginning of one; write such as acme, or acme/tools, which mean what is below them too", show(w.key))
		case slices.Contains(names, name):
			w.faultf("%s is here twice; keep one", show(w.key))
		default:
			names = append(names, name)
		}
	}
	return names
}

// checkReferrers faults sources of referrers that are not there, or have a source themselves;
// sources are where upstreams name theirs.
func checkReferrers(upstreams []Upstream, sources map[string]value) {
	names := upstreamNames(upstreams)
	for _, u := range upstreams {
		name, at := u.Referrers, sources[u.Name]
		i, guess := slices.Index(names, name), nearest(name, names)
		switch {
		case name == "":
		case name == u.Name:
			at.faultf("is the upstream itself, which is asked anyway; remove the key, or name another")
		case i < 0 && guess != "":
			at.faultf("%s is no upstream; did you mean %s?", show(name), guess)
		case i < 0:
			at.faultf("%s is no upstream; the upstreams are %s", show(name), strings.Join(names, ", "))
		case upstreams[i].Referrers != "":
			at.faultf("%s has referrers elsewhere itself, which is not followed; name the upstream that has them", show(name))
		}
	}
}

func contains(hosts []pair, host string) bool {
	for _, h := range hosts {
		if h.key == host {
			return true
		}
	}
	return false
}

// upstreamURL reads scheme and host, and returns the host as it counts among the
// upstream's hosts. No fault repeats the URL where that may hold a password.
func (v value) upstreamURL(into **url.URL) string {
	const want = "; write scheme and host alone, such as https://registry.example.com"
	var s string
	if v.node == nil {
		v.faultf("is missing%s", want)
		return ""
	}
	if !v.word(&s) {
		return ""
	}
	scheme, rest, found := strings.Cut(s, "://")
	scheme = strings.ToLower(scheme)
	rest, path, _ := strings.Cut(rest, "/")
	host, fault := parseHost(rest)
	switch {
	case strings.Contains(s, "@"):
		v.faultf("holds a user name or password; write them as username and password")
	case !found && withoutScheme(s):
		v.faultf("has no scheme; write https://%s", s)
	case !found:
		v.faultf("is no URL%s", want)
	case scheme != "https" && scheme != "http":
		v.faultf("has the scheme %s; write https:// or http://", show(scheme))
	case strings.ContainsAny(s, "?#"):
		v.faultf("has a query or a fragment%s", want)
	case rest == "":
		v.faultf("names no host%s", want)
	case fault != "":
		v.faultf("%s", fault)
	case slices.Contains(hubSites, host):
		v.faultf("names %s, where Docker Hub's registry is not; write https://%s", host, hubHost)
	case path != "" && version.MatchString(path):
		v.faultf("has the path %s of the registry API; drop it: write %s://%s", show("/"+path), scheme, host)
	case path != "":
		v.faultf("has the path %s; write %s://%s and put the path before the repository in image names", show("/"+path), scheme, host)
	default:
		return v.dialable(&url.URL{Scheme: scheme, Host: host}, into)
	}
	return ""
}

func withoutScheme(s string) bool {
	_, fault := parseHost(s)
	return fault == ""
}

// dialable drops the scheme's default port from u, refuses what can be no registry, and
// returns u's host.
func (v value) dialable(u *url.URL, into **url.URL) string {
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	if undialable(u.Hostname()) {
		v.faultf("names %s, an address that berth never connects to; write a registry's host", u.Hostname())
		return ""
	}
	*into = u
	return u.Host
}

// private reads private, which a private address in the URL implies.
func (f fields) private(u *Upstream) {
	v := f.get("private")
	fine := v.flag(&u.Private)
	if u.URL == nil || !private(u.URL.Hostname()) {
		return
	}
	if fine && v.node != nil && !u.Private {
		v.faultf("is false, but the url names the private address %s; remove the key, or write true", u.URL.Hostname())
	}
	u.Private = true
}
