package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/e2e/soak/truth"
)

// within bounds every operation: what takes longer hangs.
const within = time.Minute

// maxBody is more than any answer has.
const maxBody = 128 << 20

// outcome is an ending, and why.
type outcome struct {
	ending Ending
	detail string
}

var right = outcome{ending: Right}

func wrong(format string, args ...any) outcome {
	return outcome{Wrong, fmt.Sprintf(format, args...)}
}

func unproven(format string, args ...any) outcome {
	return outcome{Unproven, fmt.Sprintf(format, args...)}
}

// visit is one client with something to do.
type visit struct {
	*Load
	ctx     context.Context //nolint:containedctx // of one operation after the other
	random  *rand.Rand
	trouble bool
	// cacheStatus is the header of the last answer.
	cacheStatus string
}

// answer is a response with its header read. If there is none, or it is an upstream's
// trouble, outcome says so and there is nothing to close.
type answer struct {
	*http.Response
	outcome
}

// ask sends a request; path begins with /v2/.
func (v *visit) ask(method, path string, header ...string) answer {
	request, err := http.NewRequestWithContext(v.ctx, method, v.base+path, nil)
	if err != nil {
		return answer{outcome: wrong("%v", err)}
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	response, err := v.client.Do(request)
	if err != nil {
		return answer{outcome: v.broken(method+" "+path, err)}
	}
	v.cacheStatus = response.Header.Get("Cache-Status")
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable:
		body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
		response.Body.Close()
		return answer{outcome: outcome{Refused, fmt.Sprintf("%s %s: %s: %s %v", method, path, response.Status, body, err)}}
	}
	return answer{response, right}
}

// broken is a connection that broke; one that hung until the bound is wrong.
func (v *visit) broken(what string, err error) outcome {
	if v.ctx.Err() != nil && errors.Is(context.Cause(v.ctx), context.DeadlineExceeded) {
		return wrong("%s: not within %s", what, within)
	}
	return outcome{Cut, fmt.Sprintf("%s: %v", what, err)}
}

// read reads all of the body and closes it.
func (v *visit) read(a answer) ([]byte, outcome) {
	defer a.Body.Close()
	body, err := io.ReadAll(io.LimitReader(a.Body, maxBody))
	if err != nil {
		return nil, v.broken("body of "+a.Request.URL.Path, err)
	}
	return body, right
}

// expect asks, reads, and wants one of the statuses.
func (v *visit) expect(a answer, status ...int) ([]byte, outcome) {
	if a.Response == nil {
		return nil, a.outcome
	}
	body, o := v.read(a)
	if o.ending == Right && !slices.Contains(status, a.StatusCode) {
		o = wrong("%s %s: %s, want %d: %.300s", a.Request.Method, a.Request.URL, a.Status, status, body)
	}
	return body, o
}

// whole gets a blob.
func (v *visit) whole(p truth.Place, b truth.Blob) outcome {
	return v.wantWhole(p, b, v.ask(http.MethodGet, v.blobPath(p, b)))
}

func (v *visit) wantWhole(p truth.Place, b truth.Blob, a answer) outcome {
	body, o := v.expect(a, http.StatusOK)
	if o.ending == Right {
		o = v.sameBlob(a, b, body)
	}
	if o.ending != Right {
		v.notSure(p, b)
	}
	return o
}

func (v *visit) sameBlob(a answer, b truth.Blob, body []byte) outcome {
	if at := b.Differs(0, body); at >= 0 || int64(len(body)) != b.Size {
		return wrong("blob %s: %d bytes of %d, the first wrong one at %d", b.Digest, len(body), b.Size, at)
	}
	if got := a.Header.Get("Docker-Content-Digest"); got != b.Digest.String() {
		return wrong("blob %s: named %q", b.Digest, got)
	}
	return right
}

// manifest gets a manifest that has to be one of those; it says which it was.
func (v *visit) manifest(path string, allowed func() []truth.Image) (truth.Image, outcome) {
	a := v.ask(http.MethodGet, path)
	body, o := v.expect(a, http.StatusOK)
	if o.ending != Right {
		return truth.Image{}, o
	}
	for _, image := range allowed() {
		if !bytes.Equal(image.Body, body) {
			continue
		}
		if got := a.Header.Get("Docker-Content-Digest"); got != image.Digest.String() {
			return image, wrong("%s: named %q, is %s", path, got, image.Digest)
		}
		if got := a.Header.Get("Content-Type"); got != image.MediaType {
			return image, wrong("%s: of type %q, is %q", path, got, image.MediaType)
		}
		return image, right
	}
	return truth.Image{}, wrong("%s: %d bytes of %s are none of what it may be", path, len(body), digest.FromBytes(body))
}

// pull gets an image with all that belongs to it, as a client does.
func (v *visit) pull(p truth.Place, reference string, image truth.Image) outcome {
	got, o := v.manifest(manifestPath(p, reference), func() []truth.Image { return []truth.Image{image} })
	if o.ending != Right {
		return o
	}
	for _, b := range got.Blobs {
		if o := v.whole(p, b); o.ending != Right {
			return o
		}
	}
	for _, child := range got.Platforms {
		if o := v.pull(p, child.Digest.String(), child); o.ending != Right {
			return o
		}
	}
	return right
}

func manifestPath(p truth.Place, reference string) string {
	return "/v2/" + p.Name + "/manifests/" + reference
}

// blobPath is where to ask for a blob, which it counts.
func (v *visit) blobPath(p truth.Place, b truth.Blob) string {
	v.asked.Add(b.Size)
	return "/v2/" + p.Name + "/blobs/" + b.Digest.String()
}
