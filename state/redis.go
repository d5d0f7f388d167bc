package state

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	defaultNamespace = "berth:"
	// defaultTimeout bounds a dial, a write and a read: Redis answers within a
	// millisecond or is not worth waiting for, since callers can do without.
	defaultTimeout = 500 * time.Millisecond
	// poolSize bounds the connections of one process. A call takes one for well under
	// a millisecond, so that hundreds of callers share them.
	poolSize = 64
)

var _ Store = (*Redis)(nil)

// RedisOptions are the settings of a Redis. Only URL is required.
type RedisOptions struct {
	URL RedisURL
	// Namespace is what all keys begin with; "berth:" if empty. No braces.
	Namespace string
	// Cluster says that URL names a node of a Redis Cluster.
	Cluster bool
	// Timeout bounds each of a dial, a write and a read, and twice it a whole call;
	// 500 ms if zero.
	Timeout time.Duration
	// Logger is told when Redis goes away and comes back; nil logs nothing.
	Logger *slog.Logger
}

// Redis is the engine for several processes: a Redis server of at least 6.2, or Valkey.
// Its maxmemory-policy must be noeviction or one of volatile-*: another might evict the
// set that Scan reads.
//
// After a call that found Redis down, every call answers ErrUnavailable at once for a
// second, then one goes through to see. A write whose context ended before its answer
// came, or that ended with ErrUnavailable, may still have been applied.
type Redis struct {
	client   redis.UniversalClient
	prefix   string
	password string
	timeout  time.Duration
	log      *slog.Logger
	gate     gate
	close    func() error
}

// quiet keeps go-redis from writing to standard error on its own: whatever it has to
// say is in the error that the call returns.
var quiet = sync.OnceFunc(logging.Disable)

// NewRedis makes an engine for the Redis at cfg.URL. It does not connect.
func NewRedis(cfg RedisOptions) (*Redis, error) {
	target, err := cfg.URL.parse()
	if err != nil {
		return nil, fmt.Errorf("redis url: %w", err)
	}
	if cfg.Namespace == "" {
		cfg.Namespace = defaultNamespace
	}
	if strings.ContainsAny(cfg.Namespace, "{}") {
		return nil, fmt.Errorf("redis namespace %q has braces", cfg.Namespace)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	quiet()
	r := &Redis{
		client: redis.NewUniversalClient(clientOptions(target, cfg)),
		// Redis Cluster places a key by what is in braces. One slot for all is what
		// makes a write of value and set together, and one ordered Scan, possible.
		prefix:   cfg.Namespace + "{state}",
		password: target.password,
		timeout:  cfg.Timeout,
		log:      cfg.Logger,
	}
	r.close = sync.OnceValue(r.shut)
	return r, nil
}

func clientOptions(target redisTarget, cfg RedisOptions) *redis.UniversalOptions {
	options := &redis.UniversalOptions{
		Addrs:         []string{target.addr()},
		IsClusterMode: cfg.Cluster,
		Username:      target.user,
		Password:      target.password,
		DB:            target.database,
		Protocol:      2,

		DialTimeout:           cfg.Timeout,
		ReadTimeout:           cfg.Timeout,
		WriteTimeout:          cfg.Timeout,
		PoolTimeout:           cfg.Timeout,
		PoolSize:              poolSize,
		PipelinePoolSize:      -1,
		ContextTimeoutEnabled: true,

		// A swap must not be sent twice: if the first got through and its answer did
		// not, the second would report a conflict with ourselves. Connections that broke
		// while idle are found before they are used.
		MaxRetries:               -1,
		DialerRetries:            1,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if target.tls {
		options.TLSConfig = &tls.Config{ServerName: target.host, MinVersion: tls.VersionTLS12}
	}
	return options
}

// Get implements [Store].
func (r *Redis) Get(ctx context.Context, key string) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	value, err := call(ctx, r, func(ctx context.Context) ([]byte, error) {
		value, err := r.client.Get(ctx, r.valueKey(key)).Result()
		if errors.Is(err, redis.Nil) {
			return nil, nil
		}
		return []byte(value), err
	})
	if err == nil && value == nil {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("get %q: %w", key, err)
	}
	return value, nil
}

// Put implements [Store].
func (r *Redis) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := checkWrite(key, value, ttl); err != nil {
		return fmt.Errorf("put: %w", err)
	}
	_, err := r.run(ctx, putScript, key, bytes.Clone(value), milliseconds(ttl))
	if err != nil {
		return fmt.Errorf("put %q: %w", key, err)
	}
	return nil
}

// CompareAndSwap implements [Store].
func (r *Redis) CompareAndSwap(ctx context.Context, key string, swap Swap) error {
	if err := checkSwap(key, swap); err != nil {
		return fmt.Errorf("swap: %w", err)
	}
	swapped, err := r.run(ctx, swapScript, key,
		swap.Old != nil, bytes.Clone(swap.Old), swap.New != nil, bytes.Clone(swap.New), milliseconds(swap.TTL))
	if err == nil && swapped == 0 {
		err = ErrConflict
	}
	if err != nil {
		return fmt.Errorf("swap %q: %w", key, err)
	}
	return nil
}

// Delete implements [Store].
func (r *Redis) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if _, err := r.run(ctx, deleteScript, key); err != nil {
		return fmt.Errorf("delete %q: %w", key, err)
	}
	return nil
}

// Close ends the calls under way, waits for them and closes the connections. Calling it
// again returns the same.
func (r *Redis) Close() error { return r.close() }

func (r *Redis) shut() error {
	r.gate.shut()
	err := r.client.Close()
	r.gate.wait()
	if err != nil {
		return fmt.Errorf("close redis: %w", newOutage(err, r.password))
	}
	return nil
}

func (r *Redis) valueKey(key string) string { return r.prefix + "=" + key }

func (r *Redis) setKey() string { return r.prefix + "keys" }

// run runs a script that writes key and returns its answer.
func (r *Redis) run(ctx context.Context, script *redis.Script, key string, args ...any) (int, error) {
	args = append([]any{r.prefix, key}, args...)
	return call(ctx, r, func(ctx context.Context) (int, error) {
		return script.Run(ctx, r.client, []string{r.valueKey(key), r.setKey()}, args...).Int()
	})
}

// milliseconds rounds up: Redis refuses to let a key live for none.
func milliseconds(ttl time.Duration) int64 {
	ms := ttl.Milliseconds()
	if ttl%time.Millisecond > 0 {
		ms++
	}
	return ms
}
