package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Metrics are what Berth counts, by name, and by name with labels; a name alone is the sum
// over its labels.
type Metrics map[string]float64

// Metrics asks for all metrics.
func (b *Berth) Metrics(tb testing.TB) Metrics {
	tb.Helper()
	text, err := b.Ask(tb.Context(), "/metrics")
	if err != nil {
		tb.Fatal(err)
	}
	all := Metrics{}
	for line := range strings.Lines(string(text)) {
		key, number, ok := strings.Cut(strings.TrimSpace(line), " ")
		if i := strings.LastIndexByte(line, '}'); i > 0 {
			key, number, ok = line[:i+1], strings.TrimSpace(line[i+1:]), true
		}
		if strings.HasPrefix(line, "#") || !ok {
			continue
		}
		value, err := strconv.ParseFloat(number, 64)
		if err != nil {
			tb.Fatalf("metric %q: %v", line, err)
		}
		name, _, _ := strings.Cut(key, "{")
		all[name] += value
		if name != key {
			all[key] = value
		}
	}
	return all
}

// Descriptors are the files that a process has open, by what they are.
type Descriptors struct {
	Sockets int
	// Content and Staging are files that are held or on their way in.
	Content, Staging int
	// Shards are the folders of content that are kept open once used: at most 512.
	Shards int
	// Others are logs, databases, the poller.
	Others int
}

// Descriptors looks at what the process has open.
func (b *Berth) Descriptors(tb testing.TB) Descriptors {
	tb.Helper()
	folder := fmt.Sprintf("/proc/%d/fd", b.PID())
	entries, err := os.ReadDir(folder)
	if err != nil {
		tb.Fatal(err)
	}
	var d Descriptors
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(folder, entry.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		below, inData := strings.CutPrefix(target, b.content()+"/")
		switch {
		case strings.HasPrefix(target, "socket:"):
			d.Sockets++
		case inData && strings.HasPrefix(below, "staging/"):
			d.Staging++
		case inData && strings.Count(below, "/") == 1:
			d.Shards++
		case inData && strings.Count(below, "/") == 2:
			d.Content++
		default:
			d.Others++
		}
	}
	return d
}

// Resident is the process's memory in bytes, and the most that it was so far.
func (b *Berth) Resident(tb testing.TB) (now, peak int64) {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.PID()))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != "VmRSS:" && fields[0] != "VmHWM:" {
			continue
		}
		kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		if fields[0] == "VmRSS:" {
			now = kilobytes << 10
		} else {
			peak = kilobytes << 10
		}
	}
	return now, peak
}
