package truth_test

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/e2e/soak/truth"
)

func small(seed uint64) *truth.Library {
	return truth.NewLibrary(seed, truth.Size{Repositories: 2, Images: 2, HugeBytes: 3 << 20}, "a", "b")
}

func TestBlobsAreWhatTheirDigestSays(t *testing.T) {
	l := small(1)
	seen := map[digest.Digest]bool{}
	for _, p := range append(l.Places, l.Home) {
		for _, image := range p.Versions("v0") {
			for _, b := range image.Blobs {
				all, err := io.ReadAll(b.Reader())
				if err != nil || int64(len(all)) != b.Size || digest.FromBytes(all) != b.Digest || seen[b.Digest] {
					t.Fatalf("%s: %d bytes of %d, %v; seen before: %v", b.Digest, len(all), b.Size, err, seen[b.Digest])
				}
				seen[b.Digest] = true
				middle := b.Size / 2
				if diff := cmp.Diff(all[middle:], b.Section(middle, b.Size-middle)); diff != "" {
					t.Fatal(diff)
				}
			}
		}
	}
}

func TestDiffers(t *testing.T) {
	b := small(1).Huge.Blobs[1]
	for name, tc := range map[string]struct {
		offset int64
		spoil  func([]byte) []byte
		want   int64
	}{
		"right":         {0, func(p []byte) []byte { return p }, -1},
		"in the middle": {100, func(p []byte) []byte { p[5] ^= 1; return p }, 105},
		"too much":      {b.Size - 10, func(p []byte) []byte { return append(p, 0) }, b.Size},
		"moved":         {50, func(p []byte) []byte { return p[1:] }, 50},
	} {
		if got := b.Differs(tc.offset, tc.spoil(b.Section(tc.offset, min(1000, b.Size-tc.offset)))); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

func TestALibraryIsItsSeeds(t *testing.T) {
	tags := func(l *truth.Library) map[string]digest.Digest {
		made := map[string]digest.Digest{}
		for _, p := range l.Places {
			for _, tag := range p.Tags() {
				m, ok := p.Manifest(tag)
				if !ok {
					t.Fatalf("%s:%s is not there", p.Name, tag)
				}
				made[p.Upstream+" "+p.Name+":"+tag] = m.Digest
			}
		}
		return made
	}
	if diff := cmp.Diff(tags(small(7)), tags(small(7))); diff != "" {
		t.Error(diff)
	}
	if cmp.Equal(tags(small(7)), tags(small(8))) {
		t.Error("two seeds made one library")
	}
}

func TestMovedTagsAndColdImages(t *testing.T) {
	l := small(1)
	p := l.Places[0]
	l.Move(rand.New(rand.NewPCG(1, 1)), p)
	versions := p.Versions(truth.Rolling)
	if m, ok := p.Manifest(truth.Rolling); len(versions) != 2 || !ok || m.Digest != versions[1].Digest {
		t.Errorf("%d versions, now %s", len(versions), m.Digest)
	}
	cold, image := l.Cold(rand.New(rand.NewPCG(1, 1)))
	repository, ok := l.Find(cold.Upstream, cold.Name)
	if !ok {
		t.Fatalf("%s is not at %s", cold.Name, cold.Upstream)
	}
	if m, ok := repository.Manifest(image.Digest.String()); !ok || m.MediaType != image.MediaType {
		t.Errorf("manifest %v, found %v", m, ok)
	}
	var list struct {
		Manifests []struct{ Digest, ArtifactType string }
	}
	if err := json.Unmarshal(p.Referrers(p.Versions("v0")[0].Digest).Body, &list); err != nil || len(list.Manifests) != 1 || list.Manifests[0].ArtifactType == "" {
		t.Errorf("referrers %+v, %v", list, err)
	}
}
