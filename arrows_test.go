package berth_test

import (
	"bufio"
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/berth-cache/berth/"

// room is one package of Berth and what its own files may import. Tests and the packages
// that exist for them are free.
type room struct {
	// ours are the rooms that it may import.
	ours []string
	// why is the reason for not importing others.
	why string
}

// rooms are all there are: a new one says here whom it may import.
var rooms = map[string]room{
	"state":       {nil, "state is small durable facts; everything above is written once for both engines"},
	"config":      {nil, "the file is parsed without knowing who uses it: only cmd does"},
	"upstream":    {nil, "an upstream is a client of one registry and nothing else"},
	"cache/store": {nil, "the store has bytes by digest and knows nobody who wants them"},
	"cache":       {[]string{"cache/store", "state"}, "the cache takes its bytes from a Source: it knows no upstream, no registry and no HTTP"},
	"catalog":     {[]string{"state"}, "the catalog says what exists, and asks nobody"},
	"pull":        {[]string{"cache", "catalog", "upstream"}, "pull decides; HTTP is proxy's, the file is cmd's, facts and bytes are reached through the cache"},
	"server":      {nil, "the door knows nothing of what is served behind it"},
	"proxy":       {[]string{"cache", "catalog", "pull", "server"}, "proxy puts HTTP in front of pull: it asks no upstream and touches no storage"},
	"cmd/berth":   {[]string{"cache", "cache/store", "catalog", "config", "proxy", "pull", "server", "state", "upstream"}, "cmd wires everything, but nothing meant for tests"},
}

// guarded is something foreign that only some rooms may import.
type guarded struct {
	// prefix is of the import path, whole elements of it.
	prefix string
	rooms  []string
	why    string
}

var foreign = []guarded{
	{"github.com/redis/go-redis", []string{"state"}, "only state speaks to Redis"},
	{"go.etcd.io/bbolt", []string{"state", "cache/store"}, "only state and cache/store own files of bbolt"},
	{"github.com/distribution/distribution", []string{"cache/store"}, "only cache/store knows object stores"},
	{"github.com/google/go-containerregistry", []string{"upstream"}, "only upstream speaks to registries, and knows logins"},
	{"github.com/docker", []string{"upstream"}, "only upstream knows logins"},
	{"github.com/aws", []string{"upstream"}, "only upstream knows logins"},
	{"github.com/awslabs", []string{"upstream"}, "only upstream knows logins"},
	{"github.com/Azure", []string{"upstream"}, "only upstream knows logins"},
	{"golang.org/x/oauth2", []string{"upstream"}, "only upstream knows logins"},
	{"net/http/httptest", nil, "what serves has no test in it"},
	{"net/http", []string{"upstream", "cache/store", "proxy", "server", "cmd/berth"}, "HTTP ends in proxy behind server, and begins in upstream: what lies between can be tested without it"},
	{"testing", nil, "what serves has no test in it"},
}

// forTests are packages that exist for tests, and may import what they need.
func forTests(name string) bool {
	last := name[strings.LastIndexByte(name, '/')+1:]
	return strings.HasSuffix(last, "test")
}

// imports are what each package of the module imports in files that are no tests. Go would
// remember a good result whatever is imported since; -shuffle=on, as in make unit, forgets.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...")
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	found := map[string][]string{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if name, ok := strings.CutPrefix(words[0], module); ok && !forTests(name) {
			found[name] = words[1:]
		}
	}
	return found
}

// Imports run one way, between the rooms and to what lies outside.
func TestArrows(t *testing.T) {
	found := imports(t)
	for name := range rooms {
		if _, ok := found[name]; !ok {
			t.Errorf("there is no %s: take it from the table", name)
		}
	}
	for name, paths := range found {
		for _, fault := range faults(name, paths) {
			t.Error(fault)
		}
	}
}

// faults are the imports that a package must not have, in words.
func faults(name string, paths []string) []string {
	r, known := rooms[name]
	if !known {
		return []string{name + " is in no table: say in arrows_test.go and in the design whom it may import"}
	}
	var all []string
	for _, path := range paths {
		if ours, ok := strings.CutPrefix(path, module); ok && !slices.Contains(r.ours, ours) {
			all = append(all, name+" imports "+ours+": "+r.why)
		}
		// The first rule that fits is the closest.
		i := slices.IndexFunc(foreign, func(g guarded) bool { return path == g.prefix || strings.HasPrefix(path, g.prefix+"/") })
		if i >= 0 && !slices.Contains(foreign[i].rooms, name) {
			all = append(all, name+" imports "+path+": "+foreign[i].why)
		}
	}
	return all
}

// The rules themselves catch what they are for.
func TestArrowsCatch(t *testing.T) {
	for _, c := range []struct {
		name, room, path string
		faults           int
	}{
		{"upwards", "cache", module + "pull", 1},
		{"sideways", "catalog", module + "cache", 1},
		{"past a room", "proxy", module + "upstream", 1},
		{"a test's package", "proxy", module + "upstream/upstreamtest", 1},
		{"downwards", "pull", module + "upstream", 0},
		{"HTTP in the middle", "pull", "net/http", 1},
		{"HTTP's tests", "proxy", "net/http/httptest", 1},
		{"HTTP at the edge", "proxy", "net/http", 0},
		{"another's net", "pull", "net/httpx", 0},
		{"Redis", "cache", "github.com/redis/go-redis/v9", 1},
		{"bbolt", "catalog", "go.etcd.io/bbolt/errors", 1},
		{"a driver", "state", "github.com/distribution/distribution/v3/registry/storage/driver", 1},
		{"registry client in cmd", "cmd/berth", "github.com/google/go-containerregistry/pkg/v1/remote", 1},
		{"login in cmd", "cmd/berth", "github.com/google/go-containerregistry/pkg/authn", 1},
		{"login in pull", "pull", "github.com/google/go-containerregistry/pkg/authn", 1},
		{"testing", "state", "testing", 1},
		{"unknown room", "attic", "fmt", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := faults(c.room, []string{c.path}); len(got) != c.faults {
				t.Errorf("%s importing %s: %q, want %d faults", c.room, c.path, got, c.faults)
			}
		})
	}
}
