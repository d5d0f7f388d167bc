package load

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"

	"github.com/berth-cache/berth/e2e/soak/truth"
)

// operation is something that clients do, weight times as often as one of weight 1.
type operation struct {
	kind   string
	weight int
	run    func(*visit) outcome
}

var operations = []operation{
	{"ping", 5, (*visit).ping},
	{"manifest by tag", 25, (*visit).byTag},
	{"manifest by digest", 15, (*visit).byDigest},
	{"HEAD manifest", 15, (*visit).headManifest},
	{"unchanged manifest", 5, (*visit).unchangedManifest},
	{"blob", 30, (*visit).someBlob},
	{"HEAD blob", 8, (*visit).headBlob},
	{"unchanged blob", 2, (*visit).unchangedBlob},
	{"range", 12, (*visit).oneRange},
	{"several ranges", 2, (*visit).severalRanges},
	{"range beyond the end", 2, (*visit).beyond},
	{"range of a large blob", 1, (*visit).hugeRange},
	{"client that leaves", 8, (*visit).leave},
	{"client that dawdles", 3, (*visit).dawdle},
	{"cold pull by several", 5, (*visit).cold},
	{"pull of an index", 1, (*visit).index},
	{"tag moves", 1, (*visit).move},
	{"tag list", 4, (*visit).tags},
	{"referrers", 3, (*visit).referrers},
	{"unknown", 10, (*visit).unknown},
	{"garbage", 6, (*visit).garbage},
	{"wrong method", 1, (*visit).method},
}

func pick(random *rand.Rand) operation {
	total := 0
	for _, op := range operations {
		total += op.weight
	}
	n := random.IntN(total)
	for _, op := range operations {
		if n -= op.weight; n < 0 {
			return op
		}
	}
	panic("weights do not add up")
}

// image chooses a place, a tag there, and one of the images that it may point to. The
// earlier places are asked for more often, as some images are.
func (v *visit) image() (truth.Place, string, truth.Image) {
	i := min(v.random.IntN(len(v.library.Places)), v.random.IntN(len(v.library.Places)))
	p := v.library.Places[i]
	tags := p.Tags()
	tag := tags[v.random.IntN(len(tags))]
	versions := p.Versions(tag)
	image := versions[v.random.IntN(len(versions))]
	if len(image.Platforms) > 0 {
		tag, image = "v0", p.Versions("v0")[0]
	}
	return p, tag, image
}

func (v *visit) blob() (truth.Place, truth.Blob) {
	p, _, image := v.image()
	return p, image.Blobs[v.random.IntN(len(image.Blobs))]
}

func (v *visit) ping() outcome {
	_, o := v.expect(v.ask(http.MethodGet, "/v2/"), http.StatusOK)
	return o
}

// byTag names the repository in one of the ways that there are.
func (v *visit) byTag() outcome {
	p, tag, _ := v.image()
	path := manifestPath(p, tag)
	switch v.random.IntN(4) {
	case 0:
		path = "/v2/" + p.Upstream + ".test/" + p.Name + "/manifests/" + tag
	case 1:
		path += "?ns=" + p.Upstream + ".test"
	}
	_, o := v.manifest(path, func() []truth.Image { return p.Versions(tag) })
	return o
}

func (v *visit) byDigest() outcome {
	p, _, image := v.image()
	_, o := v.manifest(manifestPath(p, image.Digest.String()), func() []truth.Image { return []truth.Image{image} })
	return o
}

func (v *visit) headManifest() outcome {
	p, tag, _ := v.image()
	a := v.ask(http.MethodHead, manifestPath(p, tag))
	if _, o := v.expect(a, http.StatusOK); o.ending != Right {
		return o
	}
	for _, image := range p.Versions(tag) {
		if a.Header.Get("Docker-Content-Digest") == image.Digest.String() && a.ContentLength == int64(len(image.Body)) {
			return right
		}
	}
	return wrong("HEAD %s:%s: %v", p.Name, tag, a.Header)
}

func (v *visit) unchangedManifest() outcome {
	p, _, image := v.image()
	path := manifestPath(p, image.Digest.String())
	body, o := v.expect(v.ask(http.MethodGet, path, "If-None-Match", strconv.Quote(image.Digest.String())), http.StatusNotModified)
	if o.ending == Right && len(body) > 0 {
		return wrong("%s: 304 with %d bytes", path, len(body))
	}
	return o
}

func (v *visit) someBlob() outcome { return v.whole(v.blob()) }

func (v *visit) headBlob() outcome {
	p, b := v.blob()
	a := v.ask(http.MethodHead, v.blobPath(p, b))
	_, o := v.expect(a, http.StatusOK)
	if o.ending == Right && (a.ContentLength != b.Size || a.Header.Get("Docker-Content-Digest") != b.Digest.String()) {
		return wrong("HEAD blob %s of %d bytes: %v", b.Digest, b.Size, a.Header)
	}
	return o
}

func (v *visit) unchangedBlob() outcome {
	p, b := v.blob()
	_, o := v.expect(v.ask(http.MethodGet, v.blobPath(p, b), "If-None-Match", strconv.Quote(b.Digest.String())), http.StatusNotModified)
	if o.ending != Right {
		v.notSure(p, b) // it may have begun a fill
	}
	return o
}

// cold has several clients pull an image that nobody has seen, at once.
func (v *visit) cold() outcome {
	const clients = 3
	p, image := v.library.Cold(v.random)
	ends := make(chan outcome)
	for range clients {
		go func() {
			own := &visit{Load: v.Load, ctx: v.ctx, trouble: v.trouble}
			ends <- own.pull(p, "v0", image)
		}()
	}
	worst := right
	for range clients {
		if o := <-ends; worse(o.ending, worst.ending) != worst.ending {
			worst = o
		}
	}
	return worst
}

func (v *visit) index() outcome {
	p := v.library.Places[v.random.IntN(len(v.library.Places))]
	return v.pull(p, truth.Multi, p.Versions(truth.Multi)[0])
}

func (v *visit) move() outcome {
	v.library.Move(v.random, v.library.Places[v.random.IntN(len(v.library.Places))])
	return right
}

// blobRange is a range of a blob as a header, and where it lies.
func (v *visit) blobRange(size int64) (header string, offset, length int64) {
	offset = v.random.Int64N(size)
	length = 1 + v.random.Int64N(size-offset)
	switch v.random.IntN(4) {
	case 0:
		return fmt.Sprintf("bytes=%d-", offset), offset, size - offset
	case 1:
		return fmt.Sprintf("bytes=-%d", length), size - length, length
	}
	return fmt.Sprintf("bytes=%d-%d", offset, offset+length-1), offset, length
}
