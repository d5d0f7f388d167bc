package store

// SetFree makes free tell the bytes free in the file system. It is called before a limit
// minds them.
func (s *Disk) SetFree(free func() (int64, error)) { s.free = free }
