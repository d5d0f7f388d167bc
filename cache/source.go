package cache

import (
	"context"
	"io"
)

// Source is where a fill gets its bytes.
type Source interface {
	// Open starts reading at offset. length is how many bytes are wanted, -1 for all
	// that follow. A source that cannot start at offset may start earlier, which the
	// Part then says. Open is called again, with the offset reached, after a break; the
	// error it returns ends the fill and reaches every follower unchanged. ctx bounds the
	// body as well as the call. The caller closes the Part's Body.
	Open(ctx context.Context, offset, length int64) (Part, error)
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
}
