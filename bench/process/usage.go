package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticks are how many parts of a second the kernel counts processor time in: USER_HZ, which
// is 100 on every architecture that Go runs on.
const ticks = 100

// errProc says that /proc does not read as it should.
var errProc = errors.New("not understood")

// Usage is what a program and all it started took.
type Usage struct {
	// CPU is user and system time since the start, ended children included, in steps of
	// 10 ms.
	CPU time.Duration
	// PeakRSS is the sum of the processes' largest resident sizes, in bytes. What they
	// share counts for each of them.
	PeakRSS int64
	// AnonRSS is the sum of what is resident now and no file's, in bytes.
	AnonRSS int64
}

// Table is a proc file system.
type Table struct{ fs fs.FS }

// NewTable returns the table in a folder such as os.DirFS("/proc").
func NewTable(folder fs.FS) Table { return Table{folder} }

// Proc is the machine's.
func Proc() Table { return NewTable(os.DirFS("/proc")) }

// Usage reads what the process with number root took, with all that it started. What ends
// while this reads is left out.
func (t Table) Usage(root int) (Usage, error) {
	pids, err := t.tree(root)
	if err != nil {
		return Usage{}, err
	}
	var sum Usage
	for _, pid := range pids {
		s, err := t.stat(pid)
		if gone(err) && pid != root {
			continue
		}
		if err != nil {
			return Usage{}, err
		}
		sum.CPU += s.cpu
		status, err := fs.ReadFile(t.fs, strconv.Itoa(pid)+"/status")
		if gone(err) && pid != root {
			continue
		}
		if err != nil {
			return Usage{}, fmt.Errorf("read status of %d: %w", pid, err)
		}
		peak, err := kilobytes(status, "VmHWM")
		if err != nil {
			return Usage{}, fmt.Errorf("status of %d: %w", pid, err)
		}
		anon, err := kilobytes(status, "RssAnon")
		if err != nil {
			return Usage{}, fmt.Errorf("status of %d: %w", pid, err)
		}
		sum.PeakRSS += peak
		sum.AnonRSS += anon
	}
	return sum, nil
}

// ResetPeak makes PeakRSS of the process with number root, and of all that it started,
// begin again at what is resident now.
func ResetPeak(root int) error {
	pids, err := Proc().tree(root)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		// 5 resets the peak, see proc(5).
		err := os.WriteFile("/proc/"+strconv.Itoa(pid)+"/clear_refs", []byte("5"), 0)
		if err != nil && !gone(err) {
			return fmt.Errorf("reset peak of %d: %w", pid, err)
		}
	}
	return nil
}

// tree are root and what descends from it.
func (t Table) tree(root int) ([]int, error) {
	entries, err := fs.ReadDir(t.fs, ".")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	children := map[int][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		s, err := t.stat(pid)
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		children[s.parent] = append(children[s.parent], pid)
	}
	pids := []int{root}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children[pids[i]]...)
	}
	slices.Sort(pids)
	return pids, nil
}

// stat is what the file stat tells of a process.
type stat struct {
	parent int
	cpu    time.Duration
}

// stat reads the file of that name. Its second field is the program's name in parentheses,
// which may itself hold spaces and parentheses: fields are counted from the last one.
func (t Table) stat(pid int) (stat, error) {
	content, err := fs.ReadFile(t.fs, strconv.Itoa(pid)+"/stat")
	if err != nil {
		return stat{}, fmt.Errorf("read stat of %d: %w", pid, err)
	}
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
	const state, parent, utime, cstime = 3, 4, 14, 17 // as proc(5) numbers them
	if len(fields) <= cstime-state {
		return stat{}, fmt.Errorf("stat of %d: %w", pid, errProc)
	}
	var s stat
	if s.parent, err = strconv.Atoi(fields[parent-state]); err != nil {
		return stat{}, fmt.Errorf("stat of %d: parent: %w", pid, err)
	}
	for _, field := range fields[utime-state : cstime-state+1] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return stat{}, fmt.Errorf("stat of %d: time: %w", pid, err)
		}
		s.cpu += time.Duration(n) * time.Second / ticks
	}
	return s, nil
}

// kilobytes reads a line such as "VmHWM:  1234 kB", in bytes. A process that has ended and
// was not waited for has no such line, and no memory.
func kilobytes(status []byte, name string) (int64, error) {
	for line := range strings.Lines(string(status)) {
		value, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		return n << 10, nil
	}
	return 0, nil
}

// gone tells whether a process ended between being seen and being read.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}
