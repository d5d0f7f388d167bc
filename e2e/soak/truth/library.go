package truth

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
)

// Rolling is the tag that moves; Multi points to an index. The others are v0, v1, ….
const (
	Rolling = "rolling"
	Multi   = "multi"
)

// Place is a repository, at the upstream that answers for its name.
type Place struct {
	*Repository
	Upstream string
}

// Library is what all upstreams hold.
type Library struct {
	seed      uint64
	upstreams []string
	// Places are the repositories that were there from the beginning and, of a name that
	// several upstreams have, the one that has to answer.
	Places []Place
	// Huge is an image with one large layer.
	Huge Image
	Home Place // Huge is here, as v0

	// mu guards what is below.
	mu     sync.RWMutex
	held   map[string]map[string]*Repository // by upstream and name
	number uint64                            // of the next blob
}

// Size says how much a library holds.
type Size struct {
	// Repositories of each upstream, with Images each.
	Repositories, Images int
	// HugeBytes is the size of the one large layer.
	HugeBytes int64
}

// NewLibrary makes the library of a seed. Its upstreams are walked in this order.
func NewLibrary(seed uint64, size Size, upstreams ...string) *Library {
	l := &Library{seed: seed, upstreams: upstreams, held: map[string]map[string]*Repository{}}
	random := rand.New(rand.NewPCG(seed, 1))
	for _, u := range upstreams {
		l.held[u] = map[string]*Repository{}
		for i := range size.Repositories {
			l.Places = append(l.Places, l.fill(random, Place{l.repository(u, fmt.Sprintf("%s/app-%d", u, i)), u}, size.Images))
		}
	}
	// The first upstream owns these names, whatever the others say.
	for i := range 3 {
		name := "shared/app-" + strconv.Itoa(i)
		for _, u := range upstreams {
			l.fill(random, Place{l.repository(u, name), u}, size.Images)
		}
		l.Places = append(l.Places, Place{l.held[upstreams[0]][name], upstreams[0]})
	}
	l.Home = Place{l.repository(upstreams[0], "huge/app"), upstreams[0]}
	l.Huge = newImage([]Blob{l.blob(900), l.blob(size.HugeBytes)})
	l.Home.Publish("v0", l.Huge)
	return l
}

// fill puts images, an index and a referrer into a repository.
func (l *Library) fill(random *rand.Rand, p Place, images int) Place {
	var made []Image
	for i := range images {
		made = append(made, l.image(random))
		p.Publish("v"+strconv.Itoa(i), made[i])
	}
	p.Publish(Multi, newIndex(made[0], made[images-1]))
	p.Publish(Rolling, made[0])
	p.refer(made[0], newReferrer(made[0], l.blob(200)))
	return p
}

// Move points the rolling tag of p to a new image.
func (l *Library) Move(random *rand.Rand, p Place) { p.Publish(Rolling, l.image(random)) }

// Cold makes a repository that nobody has asked for, with one image as v0.
func (l *Library) Cold(random *rand.Rand) (Place, Image) {
	return l.ColdAt(random, l.upstreams[random.IntN(len(l.upstreams))])
}

// ColdAt is Cold at one upstream.
func (l *Library) ColdAt(random *rand.Rand, u string) (Place, Image) {
	image := l.image(random)
	l.mu.Lock()
	l.number++
	name := fmt.Sprintf("cold/%d", l.number)
	l.mu.Unlock()
	p := Place{l.repository(u, name), u}
	p.Publish("v0", image)
	return p, image
}

// image makes an image of sizes as images have them: many small layers, few large ones.
func (l *Library) image(random *rand.Rand) Image {
	blobs := []Blob{l.blob(300 + random.Int64N(2000))}
	for range 1 + random.IntN(4) {
		size := 100 + random.Int64N(64<<10)
		switch random.IntN(10) {
		case 0:
			size = 1<<20 + random.Int64N(4<<20)
		case 1, 2, 3:
			size = 64<<10 + random.Int64N(1<<20)
		}
		blobs = append(blobs, l.blob(size))
	}
	return newImage(blobs)
}

func (l *Library) blob(size int64) Blob {
	l.mu.Lock()
	l.number++
	number := l.number
	l.mu.Unlock()
	return newBlob(l.seed, number, size)
}

func (l *Library) repository(upstream, name string) *Repository {
	r := newRepository(name)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[upstream][name] = r
	return r
}

// Find is an upstream's repository.
func (l *Library) Find(upstream, name string) (*Repository, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	r, ok := l.held[upstream][name]
	return r, ok
}
