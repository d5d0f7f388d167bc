package store_test

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tracedCalls are those that change a file, a name or what is on the disk, by whichever
// way there is. The disk of these tests refuses those that it does not know.
const tracedCalls = "open,openat,openat2,creat,write,writev,pwrite64,pwritev,pwritev2,lseek,truncate,ftruncate," +
	"fallocate,fsync,fdatasync,sync,syncfs,sync_file_range,msync,mmap,rename,renameat,renameat2,link,linkat," +
	"symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,copy_file_range,sendfile,splice,io_uring_setup"

// call is a system call that ended.
type call struct {
	name string
	args []string
	// result is -1 for an error.
	result int64
	// entered and left are lines of the trace: what one call brought about is known to be
	// there for another that entered after it was left.
	entered, left int
}

// traced runs a child of ours in dir to its end, with more variables in its environment and
// what strace is to inject, and returns its calls in the order of their ends.
func traced(t *testing.T, dir string, env []string, inject ...string) []call {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trace")
	args := []string{"-f", "-qq", "--seccomp-bpf", "-xx", "-y", "-s", "16777216", "-e", "signal=none", "-e", "trace=" + tracedCalls, "-o", file}
	for _, i := range inject {
		args = append(args, "-e", "inject="+i)
	}
	cmd := exec.CommandContext(t.Context(), "strace", append(args, os.Args[0])...)
	cmd.Env = slices.Concat(os.Environ(), []string{childEnv + "=" + dir}, env)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("traced child: %v\n%s", err, out)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	calls, err := parseTrace(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return calls
}

// needStrace skips a test where processes cannot be traced, and fails it in CI.
func needStrace(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "strace", "-f", "-qq", "-o", os.DevNull, os.Args[0], "-test.list=^$").CombinedOutput()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("strace: %v %s", err, out)
	default:
		t.Skipf("strace is missing or may not trace: %v %s", err, out)
	}
}

// parseTrace joins the lines of calls that others interrupted. Calls that never ended are
// left out.
func parseTrace(r *bufio.Reader) ([]call, error) {
	type part struct {
		text string
		line int
	}
	var calls []call
	under := map[string]part{}
	for line := 0; ; line++ {
		text, err := r.ReadString('\n')
		if err != nil {
			return calls, nil
		}
		pid, text, _ := strings.Cut(strings.TrimSpace(text), " ")
		text = strings.TrimSpace(text)
		entered := line
		if begin, unfinished := strings.CutSuffix(text, "<unfinished ...>"); unfinished {
			under[pid] = part{begin, line}
			continue
		}
		if strings.HasPrefix(text, "<... ") {
			_, rest, _ := strings.Cut(text, " resumed>")
			text, entered = under[pid].text+rest, under[pid].line
			delete(under, pid)
		}
		c, err := parseCall(text)
		if err != nil {
			return nil, fmt.Errorf("line %d of the trace: %w", line+1, err)
		}
		if c.name != "" {
			c.entered, c.left = entered, line
			calls = append(calls, c)
		}
	}
}

// parseCall takes a line apart: name(args) = result. With -xx and -y no name or string in
// it has a comma or a parenthesis. What has no result, such as an exit, has no name.
func parseCall(text string) (call, error) {
	name, rest, ok := strings.Cut(text, "(")
	args, result, ended := strings.Cut(rest, ") ")
	result = strings.TrimPrefix(strings.TrimSpace(result), "= ")
	if !ok || !ended || strings.HasPrefix(result, "?") {
		return call{}, nil
	}
	if strings.Contains(args, `"...`) {
		return call{}, fmt.Errorf("a string is cut short: %.80s", text)
	}
	result, _, _ = strings.Cut(result, "<")
	result, _, _ = strings.Cut(result, " ")
	n, err := strconv.ParseInt(result, 0, 64)
	return call{name: name, args: strings.Split(strings.TrimSpace(args), ", "), result: n}, err
}

// text is the nth argument, a string.
func (c call) text(n int) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Trim(c.args[n], `"`), `\x`, ""))
	if err != nil {
		panic(fmt.Sprintf("%s: %v", c.name, err))
	}
	return b
}

// file is the path of the nth argument, a descriptor; empty if there is none any more.
func (c call) file(n int) string {
	_, path, ok := strings.Cut(c.args[n], "<")
	path, after, _ := strings.Cut(path, ">")
	name := call{name: c.name, args: []string{path}}.text(0)
	if !ok || after != "" || strings.HasSuffix(string(name), " (deleted)") {
		return ""
	}
	return string(name)
}

// path is that of a folder's descriptor and a name.
func (c call) path(folder, name int) string {
	p := string(c.text(name))
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.file(folder), p)
}

// number is the nth argument.
func (c call) number(n int) int64 {
	v, err := strconv.ParseInt(c.args[n], 0, 64)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", c.name, err))
	}
	return v
}

// mentions tells whether any argument lies in dir.
func (c call) mentions(dir string) bool {
	var encoded strings.Builder
	for _, b := range []byte(dir) {
		fmt.Fprintf(&encoded, `\x%02x`, b)
	}
	return slices.ContainsFunc(c.args, func(a string) bool { return strings.Contains(a, encoded.String()) })
}

// String is c for people, without its data.
func (c call) String() string {
	var args []string
	for _, a := range c.args {
		before, encoded, found := strings.Cut(a, `\x`)
		b, err := hex.DecodeString(strings.ReplaceAll(strings.Trim(encoded, `<>"`), `\x`, ""))
		switch {
		case !found || err != nil:
			args = append(args, a)
		case len(b) > 200:
			args = append(args, fmt.Sprint(len(b), " bytes"))
		default:
			args = append(args, fmt.Sprintf("%s%q", strings.Trim(before, `<"`), b))
		}
	}
	return fmt.Sprintf("%d-%d %s(%s) = %d", c.entered, c.left, c.name, strings.Join(args, ", "), c.result)
}
