package pull_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/pull"
	"github.com/berth-cache/berth/state"
	"github.com/berth-cache/berth/upstream"
)

// lone is an upstream that has one repository, with one image in it.
type lone struct{ name, repository string }

func (lone) Ailing() bool { return false }

func (l lone) Do(_ context.Context, r upstream.Request) (*upstream.Response, error) {
	fmt.Println(l.name, "is asked for", r.Repository)
	if r.Repository != l.repository {
		return nil, &upstream.Error{Upstream: l.name, Class: upstream.NotHere, Status: 404, Message: "not found"}
	}
	const index = `{"schemaVersion":2,"manifests":[]}`
	return &upstream.Response{
		Status: 200, MediaType: ocispec.MediaTypeImageIndex, Size: int64(len(index)), Body: io.NopCloser(strings.NewReader(index)),
	}, nil
}

// The upstreams are asked in order; what one of them gave is served from then on.
func Example() {
	if err := example(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// docker-hub is asked for team/app
	// quay is asked for team/app
	// miss from quay
	// hit from quay
}

func example() error {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "berth")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	disk, err := store.OpenDisk(filepath.Join(dir, "content"), store.DiskOptions{})
	if err != nil {
		return err
	}
	defer disk.Close()
	facts, err := state.OpenBolt(filepath.Join(dir, "state.db"), state.BoltOptions{})
	if err != nil {
		return err
	}
	defer facts.Close()
	index := cache.NewIndex(facts, cache.IndexOptions{})
	defer index.Close()
	contents := cache.NewContents(disk, cache.ContentOptions{})
	defer contents.Close(ctx)
	puller := pull.New(pull.Options{Contents: contents, Index: index})
	defer puller.Close()

	snapshot, err := catalog.NewSnapshot([]*catalog.Registry{{Name: "default", Upstreams: []*catalog.Upstream{
		{Name: "docker-hub", ID: "1", Client: lone{"docker-hub", "library/alpine"}, Validity: time.Hour},
		{Name: "quay", ID: "2", Client: lone{"quay", "team/app"}, Validity: time.Hour},
	}}})
	if err != nil {
		return err
	}
	for range 2 {
		route, err := snapshot.Route(catalog.Query{Name: "team/app"})
		if err != nil {
			return err
		}
		m, err := puller.Manifest(ctx, pull.Query{Route: route, Tag: "1"})
		if err != nil {
			return err
		}
		fmt.Println(m.Outcome, "from", m.Upstream)
	}
	return nil
}
