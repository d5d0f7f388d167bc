package pull

import (
	"context"
	"errors"
	"testing"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

// untouched is an upstream that nobody may ask.
type untouched struct{ t *testing.T }

func (untouched) Ailing() bool { return false }

func (u untouched) Do(context.Context, upstream.Request) (*upstream.Response, error) {
	u.t.Error("a second connection was asked for")
	return nil, &upstream.Error{Class: upstream.Limited}
}

// A blob that another upstream began may go on at one that allows one connection: what is
// still at work on segments is not to ask there.
func TestSegmentsStopAtAnUpstreamWithOneConnection(t *testing.T) {
	p := New(Options{})
	defer p.Close()
	s := newSource(p, Query{}, &catalog.Upstream{Name: "one", Connections: 1, Client: untouched{t}})
	s.answer = &upstream.Response{}
	if _, err := s.Open(t.Context(), 0, 1000); !errors.Is(err, errSegment) {
		t.Errorf("%v, want errSegment", err)
	}
}
