package cache

import "slices"

// maxSpares is how many sources a fill may try after its own: while one fails after the other
// its followers wait.
const maxSpares = 3

// spares are sources of a fill beside the one it uses: who joined it knows other places that
// have the content, and would not want to fail with those that the first one knows.
// Contents.mu guards them.
type spares struct {
	// places are those of the sources that were ever used or are waiting.
	places  []string
	waiting []Source
}

// began notes the source that the fill begins with.
func (s *spares) began(src Source) {
	if copier, ok := src.(Copier); ok {
		s.places = append(s.places, copier.Places())
	}
}

// offer keeps a copy of src, which somebody who joins does not need, if it is of new places.
func (s *spares) offer(src Source) {
	copier, ok := src.(Copier)
	if !ok || len(s.places) > maxSpares || slices.Contains(s.places, copier.Places()) {
		return
	}
	s.places = append(s.places, copier.Places())
	s.waiting = append(s.waiting, copier.Copy())
}

// take returns the next to be used; nil if there is none.
func (s *spares) take() Source {
	if len(s.waiting) == 0 {
		return nil
	}
	src := s.waiting[0]
	s.waiting = s.waiting[1:]
	return src
}

// end returns those that were not used, for the caller to close.
func (s *spares) end() []Source {
	unused := s.waiting
	s.waiting = nil
	return unused
}
