package store_test

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// disk is a folder as it may lie on a disk: what was synced for certain, what was done
// since, by choice. It promises as little as POSIX does: a sync of a file keeps its bytes and
// not its name, one of a folder keeps its names and nothing of what they lead to.
type disk struct {
	path string // of the folder while it is in use
	root *node
	// operations and syncs count what was done.
	operations, syncs int
}

// node is a file or a folder.
type node struct {
	// bytes or names are what is on the disk for certain.
	bytes []byte
	names map[string]*node // nil for a file
	// since is what was done since, in that order.
	since []effect
	// live are the names as processes see them.
	live map[string]*node
	// next is where a plain write goes.
	next int64
}

// effect is a change of one file's bytes, one file's size or one name.
type effect struct {
	at   int // the line of its call
	kept bool
	// doubtful says that a sync of it failed: the kernel may have dropped the bytes, so that
	// no later one tells anything. Names it keeps: a journal that cannot be written is the end.
	doubtful bool

	name   string
	node   *node // what name leads to from then on; nil is nothing
	data   []byte
	offset int64
	size   int64 // -1 unless the file was cut or stretched
}

func folder() *node { return &node{names: map[string]*node{}, live: map[string]*node{}} }

// load is a disk on which everything in path is certain.
func load(path string) (*disk, error) {
	d := &disk{path: path, root: folder()}
	err := filepath.WalkDir(path, func(file string, e fs.DirEntry, err error) error {
		if err != nil || file == path {
			return err
		}
		n := folder()
		if !e.IsDir() {
			n = &node{}
			if n.bytes, err = os.ReadFile(file); err != nil {
				return err
			}
		}
		in, name := d.find(filepath.Dir(file)), e.Name()
		in.names[name], in.live[name] = n, n
		return nil
	})
	return d, err
}

// find returns what processes see at path; nil if there is nothing or it lies elsewhere.
func (d *disk) find(path string) *node {
	rest, inside := strings.CutPrefix(path, d.path)
	n := d.root
	for name := range strings.FieldsFuncSeq(rest, func(r rune) bool { return r == '/' }) {
		if n == nil {
			return nil
		}
		n = n.live[name]
	}
	if !inside {
		return nil
	}
	return n
}

// do does what c did. Calls that it does not know, and that concern the folder, it refuses.
func (d *disk) do(c call) error {
	if !c.mentions(d.path) {
		return nil
	}
	var n *node
	switch c.name {
	case "write", "pwrite64", "ftruncate", "fallocate", "fsync", "fdatasync":
		if n = d.find(c.file(0)); n == nil {
			return nil // removed
		}
	}
	failed := c.result < 0
	if n != nil && strings.HasSuffix(c.name, "sync") {
		d.syncs++
		n.sync(c.entered, failed)
		return nil
	}
	if failed {
		return nil
	}
	e := effect{at: c.left, size: -1}
	switch c.name {
	case "openat":
		return d.open(c, e)
	case "mkdirat":
		e.node = folder()
		d.link(c.path(0, 1), e)
	case "unlinkat":
		d.link(c.path(0, 1), e)
	case "renameat":
		e.node = d.find(c.path(0, 1))
		d.link(c.path(2, 3), e)
		e.node = nil
		d.link(c.path(0, 1), e)
	case "write":
		e.data, e.offset = c.text(1)[:c.result], n.next
		n.next += c.result
		d.change(n, e)
	case "pwrite64":
		e.data, e.offset = c.text(1)[:c.result], c.number(3)
		d.change(n, e)
	case "ftruncate":
		e.size = c.number(1)
		d.change(n, e)
	case "fallocate":
		if c.args[1] != "FALLOC_FL_KEEP_SIZE" {
			return fmt.Errorf("unknown: %s(%s)", c.name, c.args)
		}
	case "mmap":
		if strings.Contains(c.args[2], "PROT_WRITE") && strings.Contains(c.args[3], "MAP_SHARED") {
			return fmt.Errorf("unknown: %s(%s)", c.name, c.args)
		}
	default:
		return fmt.Errorf("unknown: %s(%s)", c.name, c.args)
	}
	return nil
}

func (d *disk) open(c call, e effect) error {
	path, flags := c.path(0, 1), c.args[2]
	n := d.find(path)
	if strings.Contains(flags, "O_TRUNC") || strings.Contains(flags, "O_APPEND") {
		if n != nil || strings.Contains(flags, "O_APPEND") {
			return fmt.Errorf("unknown: %s(%s)", c.name, c.args)
		}
	}
	if n == nil && strings.Contains(flags, "O_CREAT") {
		e.node = &node{}
		d.link(path, e)
	}
	return nil
}

// link makes path lead to e.node.
func (d *disk) link(path string, e effect) {
	in := d.find(filepath.Dir(path))
	e.name = filepath.Base(path)
	if in.live[e.name] = e.node; e.node == nil {
		delete(in.live, e.name)
	}
	d.change(in, e)
}

func (d *disk) change(n *node, e effect) {
	d.operations++
	n.since = append(n.since, e)
}

// sync makes certain what was done before line, or doubtful for ever if it failed.
func (n *node) sync(line int, failed bool) {
	for i := range n.since {
		if e := &n.since[i]; e.at < line {
			e.doubtful = e.doubtful || failed && !e.kept && n.names == nil
			e.kept = e.kept || !e.doubtful && !failed
		}
	}
	for len(n.since) > 0 && n.since[0].kept {
		if e := n.since[0]; n.names != nil {
			put(n.names, e)
		} else {
			n.bytes = e.on(n.bytes)
		}
		n.since = n.since[1:]
	}
}

func put(names map[string]*node, e effect) {
	if names[e.name] = e.node; e.node == nil {
		delete(names, e.name)
	}
}

// on returns b after all of the effect.
func (e *effect) on(b []byte) []byte {
	if e.size >= 0 {
		return resize(b, e.size)
	}
	if end := e.offset + int64(len(e.data)); end > int64(len(b)) {
		b = resize(b, end)
	}
	copy(b[e.offset:], e.data)
	return b
}

// torn returns b after some sectors of the effect, the file's new size perhaps before them.
func (e *effect) torn(b []byte, r *rand.Rand) []byte {
	if e.size >= 0 {
		return b
	}
	for from := 0; from < len(e.data); {
		to := min(len(e.data), from+sector-int(e.offset+int64(from))%sector)
		if r.IntN(2) == 0 {
			part := effect{data: e.data[from:to], offset: e.offset + int64(from), size: -1}
			b = part.on(b)
		}
		from = to
	}
	if end := e.offset + int64(len(e.data)); end > int64(len(b)) && r.IntN(2) == 0 {
		b = resize(b, end)
	}
	return b
}

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size]
	}
	return append(slices.Clone(b), make([]byte, size-int64(len(b)))...)
}

// write makes the folder at path as w chose it to be after a loss of power.
func (n *node) write(path string, w *weather) error {
	if n.names == nil {
		b := slices.Clone(n.bytes)
		for i := range n.since {
			switch e := &n.since[i]; w.bytes(e) {
			case whole:
				b = e.on(b)
			case torn:
				b = e.torn(b, w.rand)
			}
		}
		return os.WriteFile(path, b, 0o600)
	}
	names := maps.Clone(n.names)
	for i := range n.since {
		if e := &n.since[i]; w.name(e) {
			put(names, *e)
		}
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := names[name].write(filepath.Join(path, name), w); err != nil {
			return err
		}
	}
	return nil
}
