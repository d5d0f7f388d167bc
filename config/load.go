package config

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

var (
	topKeys   = []string{"listen", "tls", "max_connections", "drain", "ops", "pprof", "data", "cache", "state", "log", "upstreams", "registries"}
	cacheKeys = []string{"max_size", "min_free", "scrub"}
	stateKeys = []string{"redis"}
	logKeys   = []string{"level", "format"}
)

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// Load reads the configuration file at path, and the files it names. env looks variables
// up, as os.LookupEnv does; nil has none. The error is Faults when the file was read but
// says something wrong; otherwise it wraps what opening or reading it gave, and has the
// full path that was looked for.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	f, err := os.Open(full)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	d := &decoder{file: path, folder: filepath.Dir(full), env: env, open: true, files: []File{{full, sha256.Sum256(data)}}}
	return d.config(data)
}

// Parse is Load for data already read; name stands for the path in faults and in relative
// paths. It opens no other file: `ca_file` is not checked, and `password_file` leaves
// Password empty.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	d := &decoder{file: name, folder: filepath.Dir(name), env: env}
	return d.config(data)
}

// config reads a whole file.
func (d *decoder) config(data []byte) (*Config, error) {
	c := base()
	root := value{decoder: d, node: d.document(data), line: 1}
	if root.node != nil {
		root.line = root.node.Line
	}
	f := root.fields(topKeys)
	f.addresses(c)
	f.get("tls").tls(&c.TLS)
	f.get("max_connections").count(&c.MaxConnections, 10)
	f.get("drain").duration(&c.Drain)
	c.PProf = loopback(c.Ops)
	f.get("pprof").flag(&c.PProf)
	f.get("data").data(&c.Data)
	f.get("cache").cache(&c.Cache)
	f.get("state").state(&c.State)
	f.get("log").log(&c.Log)

	c.Upstreams = builtin()
	var places map[string][]pair
	if v := f.get("upstreams"); v.node != nil {
		c.Upstreams, places = v.upstreams()
	}
	if v := f.get("registries"); v.node != nil {
		c.Registries = v.registries(upstreamNames(c.Upstreams))
	} else {
		c.Registries = []Registry{wholeRegistry(c.Upstreams)}
	}
	d.checkHosts(c.Registries, places)
	if len(d.faults) > 0 {
		return nil, d.faults.sorted()
	}
	c.Files, c.Empty = d.files, root.node == nil
	return c, nil
}

func upstreamNames(upstreams []Upstream) []string {
	var names []string
	for _, u := range upstreams {
		names = append(names, u.Name)
	}
	return names
}

// addresses reads listen and ops.
func (f fields) addresses(c *Config) {
	listen, ops := f.get("listen"), f.get("ops")
	fine := listen.address(&c.Listen)
	fine = ops.address(&c.Ops) && fine
	switch {
	case !fine:
	case c.Listen == "":
		listen.faultf("is empty; write host:port, or remove the key to have %s", defaultListen)
	case c.Ops == "" || !overlap(c.Listen, c.Ops):
	case ops.node != nil:
		ops.faultf("%s takes the port of listen (%s); write another port, or \"\" to have none", c.Ops, c.Listen)
	default:
		listen.faultf("%s takes the port of ops (%s unless written); write another port, or ops with another", c.Listen, c.Ops)
	}
}

// data reads the path of the data folder, which cannot be empty.
func (v value) data(into *string) {
	var path string
	switch {
	case v.node == nil || !v.filePath(&path):
	case path == "":
		v.faultf("is empty; write the path of a folder, or remove the key to have %s", dataWithFile)
	default:
		*into = path
	}
}

// cache reads the cache block.
func (v value) cache(c *Cache) {
	f := v.fields(cacheKeys)
	f.get("max_size").size(&c.MaxSize)
	f.get("min_free").size(&c.MinFree)
	f.get("scrub").size(&c.Scrub)
}

// state reads the state block.
func (v value) state(s *State) {
	f := v.fields(stateKeys)
	redis, text := f.get("redis"), ""
	if !redis.text(&text) || text == "" {
		return
	}
	// The parser's error would repeat parts of the URL, which holds a password.
	u, err := url.Parse(text)
	switch {
	case err == nil && u.Scheme == "unix":
		redis.faultf("is a socket, which berth does not connect to; write redis://:password@host:6379/0")
		return
	case err != nil || !validRedis(u) || strings.Contains(text, "#"):
		redis.faultf("is no URL of a Redis server; write redis://:password@host:6379/0, or rediss:// for TLS, with %%XX for any of / ? # @ %% in the password")
		return
	}
	s.Redis = NewSecret(text)
}

// validRedis tells whether u is redis://[[user]:password@]host[:port][/database]. Anything
// more can only be a piece of a password that was not encoded.
func validRedis(u *url.URL) bool {
	password, _ := u.User.Password()
	database := strings.Trim(u.Path, "/")
	return (u.Scheme == "redis" || u.Scheme == "rediss") && u.Hostname() != "" &&
		u.RawQuery == "" && !u.ForceQuery && (u.User.Username() == "" || password != "") &&
		(database == "" || digits.MatchString(database))
}

// log reads the log block.
func (v value) log(l *Log) {
	f := v.fields(logKeys)
	level, format := strings.ToLower(l.Level.String()), string(l.Format)
	f.get("level").choice(&level, []string{"debug", "info", "warn", "error"})
	f.get("format").choice(&format, []string{string(LogText), string(LogJSON)})
	l.Level, l.Format = levels[level], LogFormat(format)
}
