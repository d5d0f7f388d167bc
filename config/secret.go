package config

import (
	"fmt"
	"log/slog"
)

// hidden is what a Secret prints as.
const hidden = "***"

// Secret is a text that does not show when it is printed, logged or encoded, whichever
// verb or encoder is used. Compare with Equal; == does not compile.
type Secret struct {
	_ [0]func() // makes == a compile error
	// A pointer, because fmt prints the unexported fields of somebody else's struct
	// without calling any method: it then prints an address.
	text *string
}

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{text: &text} }

// Reveal returns the text itself; the zero Secret's is empty.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Equal tells whether both hold the same text. Not in constant time: it is for comparing
// configurations, not for checking what a client sent.
func (s Secret) Equal(other Secret) bool { return s.Reveal() == other.Reveal() }

// String returns "***".
func (s Secret) String() string { return hidden }

// Format writes "***" whatever the verb and its flags.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// MarshalText returns "***", which is what JSON, YAML and XML then hold.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue returns "***".
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }
