package state

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// errRedisURL is all that is said about a URL that cannot be used: what url.Parse says
// of it may quote the password, for instance one with a slash that was not escaped.
var errRedisURL = errors.New("not of the form redis://[[user]:password@]host[:port][/database] " +
	"or rediss://…, with special characters in the password percent-encoded")

// RedisURL says where Redis is: redis://[[user]:password@]host[:port][/database], or
// rediss:// for TLS. It may hold a password and prints as ***.
type RedisURL string

// Format implements [fmt.Formatter] for every verb.
func (RedisURL) Format(f fmt.State, _ rune) {
	fmt.Fprint(f, "***")
}

// MarshalText implements [encoding.TextMarshaler], for logs and JSON.
func (RedisURL) MarshalText() ([]byte, error) { return []byte("***"), nil }

// redisTarget is a RedisURL taken apart.
type redisTarget struct {
	host, port     string
	user, password string
	database       int
	tls            bool
}

func (t redisTarget) addr() string { return net.JoinHostPort(t.host, t.port) }

func (u RedisURL) parse() (redisTarget, error) {
	parsed, err := url.Parse(string(u))
	if err != nil || parsed.Host == "" || parsed.Opaque != "" {
		return redisTarget{}, errRedisURL
	}
	// A ? or # can only be a piece of a password that was not escaped.
	if parsed.RawQuery != "" || parsed.ForceQuery || strings.Contains(string(u), "#") {
		return redisTarget{}, errRedisURL
	}
	t := redisTarget{
		host: parsed.Hostname(),
		port: parsed.Port(),
		user: parsed.User.Username(),
		tls:  parsed.Scheme == "rediss",
	}
	t.password, _ = parsed.User.Password()
	if t.port == "" {
		t.port = "6379"
	}
	if database := strings.Trim(parsed.Path, "/"); database != "" {
		if t.database, err = strconv.Atoi(database); err != nil || t.database < 0 {
			return redisTarget{}, errRedisURL
		}
	}
	if !t.tls && parsed.Scheme != "redis" || t.host == "" || t.user != "" && t.password == "" {
		return redisTarget{}, errRedisURL
	}
	return t, nil
}
