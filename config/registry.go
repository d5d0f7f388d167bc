package config

import (
	"regexp"
	"slices"
	"strings"
)

var registryKeys = []string{"upstreams", "path", "hosts", "on_error", "pin_origin"}

var validPath = regexp.MustCompile(`^[a-z0-9]+((_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((_|__|-+)[a-z0-9]+)*)*$`)

// registries reads the registries block; known are the names of the upstreams.
func (v value) registries(known []string) []Registry {
	pairs, fine := v.pairs()
	if fine && len(pairs) == 0 {
		v.faultf("is empty; name at least one registry, or remove the key to have one with all upstreams")
	}
	var registries []Registry
	paths, hosts := map[string]pair{}, map[string]pair{}
	for _, p := range pairs {
		p.named()
		r := Registry{Name: p.key}
		f := p.fields(registryKeys)
		if f.of == nil {
			continue
		}
		r.Upstreams = f.members(known)
		r.path(f, p, paths)
		for _, h := range f.get("hosts").hosts() {
			if other, taken := hosts[h.key]; taken {
				h.faultf("%s is a host of registry %s too (line %d); keep one", h.key, other.key, other.line)
			}
			hosts[h.key] = pair{p.key, h.line, h.value}
			r.Hosts = append(r.Hosts, h.key)
		}
		onError := "stop"
		f.get("on_error").choice(&onError, []string{"stop", "next"})
		r.OnErrorNext = onError == "next"
		f.get("pin_origin").flag(&r.PinOrigin)
		registries = append(registries, r)
	}
	return registries
}

// members reads the upstreams of one registry.
func (f fields) members(known []string) []string {
	v := f.get("upstreams")
	words, fine := v.words()
	if fine && len(words) == 0 {
		v.faultf("is missing or empty; list at least one upstream")
	}
	var members []string
	lines := map[string]int{}
	for _, w := range words {
		first, twice := lines[w.key]
		guess := nearest(w.key, known)
		switch {
		case twice:
			w.faultf("%s is here twice, first in line %d; keep one", show(w.key), first)
		case slices.Contains(known, w.key) || known == nil:
			lines[w.key] = w.line
			members = append(members, w.key)
		case guess != "":
			w.faultf("%s is no upstream; did you mean %s?", show(w.key), guess)
		default:
			w.faultf("%s is no upstream; the upstreams are %s", show(w.key), strings.Join(known, ", "))
		}
	}
	return members
}

// path reads the path of r, whose key p is; taken are those of the registries before it.
func (r *Registry) path(f fields, p pair, taken map[string]pair) {
	v := f.get("path")
	if r.Name != defaultRegistry {
		r.Path = r.Name
	}
	if !v.word(&r.Path) {
		return
	}
	first, _, _ := strings.Cut(r.Path, "/")
	other, twice := taken[r.Path]
	switch {
	case r.Name == defaultRegistry && r.Path != "":
		v.faultf("must stay empty for the registry default; remove the key, or give the registry another name")
	case r.Name == defaultRegistry:
	case r.Path == "":
		v.faultf("is empty, which only the registry default may be; write a path, or remove the key to have %s", show(r.Name))
	case v.node == nil && !validKey.MatchString(p.key): // told already
	case v.node == nil && !validPath.MatchString(r.Path):
		p.keyFaultf("cannot be the path in image names, which the name is unless path is written: a path has lower-case letters and digits, with - or _ between them, and no dots; write a path, or name the registry %s", show(pathLike(r.Name)))
	case !validPath.MatchString(r.Path):
		v.faultf("%s is no path of a registry; write lower-case letters and digits, with - or _ between them and / between parts, without dots", show(r.Path))
	case first == "virtual_registries" || slices.Contains(strings.Split(r.Path, "/"), "v2"):
		v.faultf("%s means something else in the URLs of the registry API; write another path", show(r.Path))
	case twice:
		v.faultf("%s is the path of registry %s too (line %d); write another", show(r.Path), other.key, other.line)
	default:
		taken[r.Path] = pair{p.key, v.line, v}
	}
}

// pathLike makes a name that would do as a path of one that does not.
func pathLike(name string) string {
	parts := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	return strings.Join(parts, "-")
}

// checkHosts faults hosts that two upstreams of one registry share; a name with such a
// host could mean either.
func (d *decoder) checkHosts(registries []Registry, places map[string][]pair) {
	type clash struct{ upstream, place string } // a url may give several hosts
	reported := map[clash]bool{}
	for _, r := range registries {
		owner := map[string]pair{}
		for _, name := range fileOrder(r.Upstreams, places) {
			for _, at := range places[name] {
				other, shared := owner[at.key]
				if shared && !reported[clash{name, at.path}] {
					reported[clash{name, at.path}] = true
					at.faultf("%s is a host of upstream %s too (line %d), and registry %s has both; keep it in one, or put the upstreams in registries of their own",
						at.key, other.key, other.line, r.Name)
				}
				if !shared {
					owner[at.key] = pair{name, at.value.line, at.value}
				}
			}
		}
	}
}

// fileOrder sorts the names by where their upstreams stand in the file, so that a fault
// is told of the later one.
func fileOrder(names []string, places map[string][]pair) []string {
	line := func(name string) int {
		if hosts := places[name]; len(hosts) > 0 {
			return hosts[0].value.line
		}
		return 0
	}
	return slices.SortedStableFunc(slices.Values(names), func(a, b string) int { return line(a) - line(b) })
}
