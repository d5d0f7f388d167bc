// Package config reads the configuration file: defaults, variables, secrets from files,
// and every fault with its line.
//
// [Load] reads a file, [Parse] the bytes of one, [Default] is the configuration without
// any. The fields of [Config] are the reference; docs/configuration.md is the same for
// those who write the file. The parser is strict: an unknown key, a duplicate, a value of
// the wrong kind and whatever cannot work are all reported at once, as [Faults].
//
// The package opens no connection, looks nothing up, and does not change anything: a file
// that passes may still name a host that does not answer. No message it makes holds a
// password.
//
// It imports nothing of Berth, and only cmd/berth imports it: the rooms take what they
// need as values of their own.
package config
