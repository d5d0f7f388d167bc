package cache

import (
	"context"
	"errors"
	"io"
)

// ErrUnavailable is a Source's error that says no more than that it cannot be opened now, and
// perhaps soon. A fill that has something to lose waits for it.
var ErrUnavailable = errors.New("unavailable for now")

// Source is where a fill gets its bytes.
type Source interface {
	// Open starts reading at offset. ctx bounds the body as well as the call. The caller
	// closes the Part's Body.
	//
	// A length of -1 is all that follows. A source that cannot start at offset may start
	// earlier, which the Part then says. Open is called like this from one goroutine, and
	// again, with the offset reached, after a break, and for a while after ErrUnavailable.
	// Its error ends the fill and reaches every follower unchanged, unless one of them came
	// with a Copier of other places.
	//
	// Any other length is a segment: so many bytes from exactly offset, of the content that
	// the last Part without an end was of, over a connection of its own. It is asked for,
	// of any number of goroutines at once, only after a Part with Lanes. An error
	// concerns the segment alone.
	Open(ctx context.Context, offset, length int64) (Part, error)
}

// Copier is an optional ability of a Source: to make another of the same content, which
// knows what this one found out and is used beside it.
type Copier interface {
	Copy() Source
	// Places names all that the source may ask: two with the same Places fail alike.
	Places() string
}

// Part is a stretch of content as a Source delivers it.
type Part struct {
	// Body yields the bytes from Offset on. An error other than io.EOF is a break, after
	// which the fill may open the source again.
	Body io.ReadCloser
	// Offset is where Body really starts: at most what was asked for.
	Offset int64
	// Total is the size of the whole content in bytes, -1 when unknown.
	Total int64
	// Lanes say that segments may be asked for, and how many at a time. They are nil when
	// not, and not looked at in the Part of a segment.
	Lanes *Lanes
}

// closeSource closes a source that has something to close.
func closeSource(src Source) {
	if closer, ok := src.(io.Closer); ok {
		// Nothing was, or will be, taken from it: its error concerns nobody.
		_ = closer.Close()
	}
}
