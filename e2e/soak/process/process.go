package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/berth-cache/berth/e2e/child"
	"github.com/berth-cache/berth/e2e/port"
)

// endWithin bounds how long a process may take to end.
const endWithin = time.Minute

// errNotReady says that the program answers, but not yet with yes.
var errNotReady = errors.New("not ready")

// Berth is a data folder with the two addresses and the file of the Berth that uses it.
type Berth struct {
	binary, home string
	Addr, Ops    string
	config       file
	*child.Daemon
	// Started is how long the last start took until Berth was ready.
	Started time.Duration
	client  *http.Client
}

// New makes a folder and reserves addresses. Start starts the program.
func New(tb testing.TB, binary string, config Config) *Berth {
	tb.Helper()
	b := &Berth{binary: binary, home: child.Folder(tb), Addr: port.Reserve(tb), Ops: port.Reserve(tb)}
	b.config = file{Config: config, Listen: b.Addr, Ops: b.Ops, Data: b.Data()}
	b.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: endWithin}
	b.Write(tb, config)
	return b
}

// Write replaces the configuration file; the program is not told.
func (b *Berth) Write(tb testing.TB, config Config) {
	tb.Helper()
	b.config.Config = config
	if err := b.config.write(b.file()); err != nil {
		tb.Error(err) // not Fatal: files change in other goroutines as well
	}
}

// Reload replaces the configuration file and tells the program.
func (b *Berth) Reload(tb testing.TB, config Config) {
	tb.Helper()
	b.Write(tb, config)
	if err := b.Signal(syscall.SIGHUP); err != nil {
		tb.Error(err)
	}
}

// Start starts the program, which must not run, and waits until it is ready.
func (b *Berth) Start(tb testing.TB) {
	tb.Helper()
	began := time.Now()
	b.Daemon = child.Start(tb, b.command(), b.ready)
	b.Started = time.Since(began)
}

// Second runs the program once more on the same folder, at other addresses, to its end,
// and returns its status and what it said.
func (b *Berth) Second(tb testing.TB) (int, string) {
	tb.Helper()
	other := b.config
	other.Listen, other.Ops = port.Reserve(tb), port.Reserve(tb)
	name := filepath.Join(b.home, "second.json")
	if err := other.write(name); err != nil {
		tb.Fatal(err)
	}
	command := child.Command{Path: b.binary, Args: []string{"serve", "--config", name}, Env: b.command().Env}
	never := func(context.Context) error { return errNotReady }
	d, err := child.TryStart(tb, command, never)
	if err == nil {
		d.Stop()
		tb.Fatal("a second process started on the same folder")
	}
	status, waitErr := d.Wait(tb.Context())
	said, readErr := os.ReadFile(d.Log())
	if err := errors.Join(waitErr, readErr); err != nil {
		tb.Fatal(err)
	}
	return status, string(said)
}

// Kill ends the program with SIGKILL.
func (b *Berth) Kill(tb testing.TB) {
	tb.Helper()
	if status := b.end(tb, syscall.SIGKILL); status != -1 {
		tb.Fatalf("berth ended by itself, with status %d", status)
	}
}

// Terminate asks the program to end and returns its status.
func (b *Berth) Terminate(tb testing.TB) int {
	tb.Helper()
	return b.end(tb, syscall.SIGTERM)
}

func (b *Berth) end(tb testing.TB, s os.Signal) int {
	tb.Helper()
	if err := b.Signal(s); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), endWithin)
	defer cancel()
	status, err := b.Wait(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	return status
}

// Panics tells whether the program's log has a trace of one, or of a data race.
func (b *Berth) Panics(tb testing.TB) bool {
	tb.Helper()
	log, err := os.ReadFile(b.Log())
	if err != nil {
		tb.Fatal(err)
	}
	return bytes.Contains(log, []byte("panic")) || bytes.Contains(log, []byte("DATA RACE"))
}

// URL is the base URL of the registry, without a slash at its end.
func (b *Berth) URL() string { return "http://" + b.Addr }

// Data is the folder that holds content and state.
func (b *Berth) Data() string { return filepath.Join(b.home, "data") }

func (b *Berth) file() string { return filepath.Join(b.home, "berth.json") }

func (b *Berth) command() child.Command {
	return child.Command{
		Path: b.binary, Args: []string{"serve", "--config", b.file()},
		Env: child.Environ(b.home, "127.0.0.1:1", "GORACE=halt_on_error=0 atexit_sleep_ms=0"),
	}
}

func (b *Berth) ready(ctx context.Context) error {
	_, err := b.Ask(ctx, "/readyz")
	return err
}

// Ask gets a path from the address for operators.
func (b *Berth) Ask(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.Ops+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", path, err)
	}
	response, err := b.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", path, err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		return nil, fmt.Errorf("ask %s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s", errNotReady, response.Status)
	}
	return body.Bytes(), nil
}
