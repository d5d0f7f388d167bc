package image_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/bench/image"
)

func TestBlobIsTheSameHoweverItIsRead(t *testing.T) {
	for _, size := range []int64{0, 1, 15, 16, 17, 111, 4095, 4096, 4097, 1_000_003} {
		b := image.Blob{Seed: 7, Size: size}
		whole := b.Bytes()
		if got, err := io.ReadAll(b.Reader()); err != nil || !bytes.Equal(got, whole) {
			t.Fatalf("%d bytes: read %d, %v", size, len(got), err)
		}
		if got := b.Digest(); got != digest.FromBytes(whole) {
			t.Errorf("%d bytes: digest %s is not the content's", size, got)
		}
		for range 100 {
			offset := rand.Int64N(size + 1)
			p := make([]byte, rand.Int64N(size-offset+1))
			if n, err := b.ReadAt(p, offset); n != len(p) || err != nil || !bytes.Equal(p, whole[offset:offset+int64(n)]) {
				t.Fatalf("%d bytes at %d of %d: got %d, %v", len(p), offset, size, n, err)
			}
			if !b.Equal(p, offset) {
				t.Fatalf("%d bytes at %d of %d are not equal to themselves", len(p), offset, size)
			}
		}
	}
}

func TestEqualSeesEveryByte(t *testing.T) {
	b := image.Blob{Seed: 7, Size: 10_000}
	content := b.Bytes()
	for i := range content {
		content[i] ^= 1
		if b.Equal(content, 0) {
			t.Fatalf("a change of byte %d is not seen", i)
		}
		content[i] ^= 1
	}
	for name, equal := range map[string]bool{
		"another seed":   image.Blob{Seed: 8, Size: 10_000}.Equal(content, 0),
		"another page":   b.Equal(content[:4096], 4096),
		"another round":  image.Blob{Seed: 7, Size: 1 << 20}.Equal(content[:4096], 32*4096),
		"beyond the end": b.Equal(append(content, 0), 0),
	} {
		if equal {
			t.Errorf("%s counts as equal", name)
		}
	}
}

func TestReadAtTheEnd(t *testing.T) {
	b := image.Blob{Seed: 7, Size: 100}
	p := make([]byte, 20)
	if n, err := b.ReadAt(p, 90); n != 10 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d, %v; want 10 and the end", n, err)
	}
}

func TestMakeFollowsFromItsName(t *testing.T) {
	spec := image.Spec{Repository: "bench/app", Layers: []int64{5000, 7}}
	one, err := image.Make(spec)
	if err != nil {
		t.Fatal(err)
	}
	two, err := image.Make(spec)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(one, two); diff != "" {
		t.Errorf("two of one name differ: %s", diff)
	}
	if want := int64(len(one.Manifest)) + 1500 + 5007; one.Size() != want {
		t.Errorf("size %d, want %d", one.Size(), want)
	}
	other, err := image.Make(image.Spec{Repository: "bench/other", Layers: spec.Layers})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range append(other.Layers, other.Config) {
		if p.Digest == append(one.Layers, one.Config)[i].Digest {
			t.Errorf("part %d is shared with another repository", i)
		}
	}
}

func TestLibrary(t *testing.T) {
	l := image.NewLibrary()
	m, err := image.Make(image.Spec{Repository: "a/b", Layers: []int64{10}})
	if err != nil {
		t.Fatal(err)
	}
	l.AddImage(m)
	pool := image.Pool{Repository: "pool", Count: 50, Size: 64}
	l.AddPool(pool)
	blob := func(repository string, d digest.Digest) bool { _, ok := l.Blob(repository, d); return ok }
	manifest := func(repository, reference string) bool { _, ok := l.Image(repository, reference); return ok }
	for _, c := range []struct {
		name      string
		got, want bool
	}{
		{"by tag", manifest("a/b", "latest"), true},
		{"by digest", manifest("a/b", m.Digest.String()), true},
		{"another tag", manifest("a/b", "1"), false},
		{"another repository", manifest("a", "latest"), false},
		{"configuration", blob("a/b", m.Config.Digest), true},
		{"layer", blob("a/b", m.Layers[0].Digest), true},
		{"layer elsewhere", blob("pool", m.Layers[0].Digest), false},
		{"malformed", blob("a/b", "sha256:zz"), false},
		{"of the pool", blob("pool", pool.Blob(49).Digest()), true},
		{"beyond the pool", blob("pool", pool.Blob(50).Digest()), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: found %t, want %t", c.name, c.got, c.want)
		}
	}
}

func TestEverySpreads(t *testing.T) {
	pool := image.Pool{Repository: "pool", Count: 10, Size: 64}
	var got, want []digest.Digest
	for d := range pool.Every(4) {
		got = append(got, d)
	}
	for _, i := range []int{0, 2, 5, 7} {
		want = append(want, pool.Blob(i).Digest())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
