package cache

// Complete tells whether everything is here and verified.
func (r *Reader) Complete() bool {
	if r.stream != nil {
		return r.stream.ended()
	}
	return r.fill == nil || r.fill.progress.complete()
}
