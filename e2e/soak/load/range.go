package load

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"time"

	"github.com/berth-cache/berth/e2e/soak/truth"
)

func (v *visit) oneRange() outcome {
	p, b := v.blob()
	return v.ranged(p, b)
}

// hugeRange asks for a little of the one large blob, which may be arriving meanwhile.
func (v *visit) hugeRange() outcome { return v.ranged(v.library.Home, v.library.Huge.Blobs[1]) }

func (v *visit) ranged(p truth.Place, b truth.Blob) outcome {
	header, offset, length := v.blobRange(b.Size)
	a := v.ask(http.MethodGet, v.blobPath(p, b), "Range", header)
	body, o := v.expect(a, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable)
	if o.ending != Right {
		v.notSure(p, b)
		return o
	}
	want := fmt.Sprintf("bytes %d-%d/%d", offset, offset+length-1, b.Size)
	if got := a.Header.Get("Content-Range"); got != want {
		v.notSure(p, b)
		return unproven("blob %s, %s: %s, Content-Range %q, want %q", b.Digest, header, a.Status, got, want)
	}
	at := b.Differs(offset, body)
	if at >= 0 && int64(len(body)) == length && offset+length < b.Size {
		v.notSure(p, b)
		return unproven("blob %s, %s: wrong at %d", b.Digest, header, at)
	}
	if at >= 0 || int64(len(body)) != length {
		return wrong("blob %s, %s: %d bytes, the first wrong one at %d", b.Digest, header, len(body), at)
	}
	return right
}

// severalRanges asks for the first and the last byte, and something between.
func (v *visit) severalRanges() outcome {
	p, b := v.blob()
	middle := b.Size / 2
	a := v.ask(http.MethodGet, v.blobPath(p, b), "Range", fmt.Sprintf("bytes=0-0,%d-%d,-1", middle, middle+9))
	if a.Response == nil {
		v.notSure(p, b)
		return a.outcome
	}
	defer a.Body.Close()
	_, params, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if a.StatusCode != http.StatusPartialContent || err != nil {
		return wrong("several ranges of blob %s: %s %v", b.Digest, a.Status, err)
	}
	parts := multipart.NewReader(a.Body, params["boundary"])
	unproven := int64(-1)
	for _, offset := range []int64{0, middle, b.Size - 1} {
		part, err := parts.NextPart()
		if err != nil {
			v.notSure(p, b)
			return v.broken("several ranges", err)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			v.notSure(p, b)
			return v.broken("several ranges", err)
		}
		if at := b.Differs(offset, body); at >= 0 || len(body) == 0 {
			unproven = offset
		}
	}
	if unproven >= 0 {
		return wrong("several ranges of blob %s: the part at %d, in an answer with the last byte", b.Digest, unproven)
	}
	if _, err := parts.NextPart(); !errors.Is(err, io.EOF) {
		v.notSure(p, b)
		return v.broken("end of several ranges", err)
	}
	return right
}

func (v *visit) beyond() outcome {
	p, b := v.blob()
	a := v.ask(http.MethodGet, v.blobPath(p, b), "Range", fmt.Sprintf("bytes=%d-", b.Size))
	_, o := v.expect(a, http.StatusRequestedRangeNotSatisfiable)
	if o.ending != Right {
		v.notSure(p, b)
		return o
	}
	v.notSure(p, b) // the fill that told the size may be left to itself now
	if got, want := a.Header.Get("Content-Range"), "bytes */"+strconv.FormatInt(b.Size, 10); got != want {
		return unproven("range beyond the end of blob %s: Content-Range %q, want %q", b.Digest, got, want)
	}
	return right
}

// leave goes away somewhere in the body.
func (v *visit) leave() outcome {
	p, b := v.blob()
	if v.random.IntN(10) == 0 {
		p, b = v.library.Home, v.library.Huge.Blobs[1]
	}
	a := v.ask(http.MethodGet, v.blobPath(p, b))
	v.notSure(p, b)
	if a.Response == nil {
		return a.outcome
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return wrong("blob %s: %s", b.Digest, a.Status)
	}
	head, err := io.ReadAll(io.LimitReader(a.Body, v.random.Int64N(b.Size)))
	if err != nil {
		return v.broken("beginning of a blob", err)
	}
	if at := b.Differs(0, head); at >= 0 {
		return unproven("beginning of blob %s: wrong at %d", b.Digest, at)
	}
	return outcome{ending: Left}
}

// dawdle reads slowly at first.
func (v *visit) dawdle() outcome {
	p, b := v.blob()
	a := v.ask(http.MethodGet, v.blobPath(p, b))
	if a.Response != nil {
		a.Body = &slowly{a.Body, time.NewTicker(2 * time.Millisecond), 64}
	}
	return v.wantWhole(p, b, a)
}

// slowly reads a little at each tick, and as it comes when the ticks are used up.
type slowly struct {
	io.ReadCloser
	tick  *time.Ticker
	ticks int
}

func (s *slowly) Read(p []byte) (int, error) {
	if s.ticks > 0 {
		s.ticks--
		<-s.tick.C
		p = p[:min(len(p), 4<<10)]
	}
	return s.ReadCloser.Read(p)
}

func (s *slowly) Close() error {
	s.tick.Stop()
	return s.ReadCloser.Close()
}
