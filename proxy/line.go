package proxy

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Form is how a line of the access log is written.
type Form string

// The forms are those of slog's handlers; JSON has durations as numbers of seconds.
const (
	Text Form = "text"
	JSON Form = "json"
)

// line is one line of a log as slog's handler of that form would write it, byte for byte.
// The handlers take two thousand instructions to come to the same.
type line struct {
	json bool
	text []byte
}

// begin starts a line over, with the attributes that every one has.
func (l *line) begin(t time.Time, message string) {
	l.text = l.text[:0]
	if l.json {
		l.text = append(l.text, `{"time":"`...)
		l.text = t.AppendFormat(l.text, time.RFC3339Nano)
		l.text = append(l.text, `","level":"INFO","msg":`...)
		l.text = appendJSON(l.text, message)
		return
	}
	l.text = append(l.text, "time="...)
	l.text = appendMillis(l.text, t)
	l.text = append(l.text, " level=INFO msg="...)
	l.text = appendText(l.text, message)
}

// end finishes the line.
func (l *line) end() {
	if l.json {
		l.text = append(l.text, '}')
	}
	l.text = append(l.text, '\n')
}

// key writes an attribute's key, which needs no quotes.
func (l *line) key(key string) {
	if l.json {
		l.text = append(l.text, `,"`...)
		l.text = append(l.text, key...)
		l.text = append(l.text, `":`...)
		return
	}
	l.text = append(l.text, ' ')
	l.text = append(l.text, key...)
	l.text = append(l.text, '=')
}

func (l *line) string(key, value string) {
	l.key(key)
	if l.json {
		l.text = appendJSON(l.text, value)
	} else {
		l.text = appendText(l.text, value)
	}
}

func (l *line) int(key string, value int64) {
	l.key(key)
	l.text = strconv.AppendInt(l.text, value, 10)
}

func (l *line) duration(key string, value time.Duration) {
	l.key(key)
	if l.json {
		l.text = appendSeconds(l.text, value)
	} else {
		l.text = append(l.text, value.String()...)
	}
}

// appendMillis appends t in RFC 3339 with three digits of a second, cut off.
func appendMillis(b []byte, t time.Time) []byte {
	const length = len("2006-01-02T15:04:05.000")
	// Nanoseconds lose their zeros at the end; with a fourth digit there are always four.
	begin := len(b)
	b = t.Truncate(time.Millisecond).Add(time.Millisecond/10).AppendFormat(b, time.RFC3339Nano)
	return append(b[:begin+length], b[begin+length+1:]...)
}

// appendSeconds appends d as encoding/json writes its seconds.
func appendSeconds(b []byte, d time.Duration) []byte {
	if d > -time.Microsecond && d < time.Microsecond && d != 0 {
		b = strconv.AppendFloat(b, d.Seconds(), 'e', -1, 64)
		n := len(b) // e-07 is e-7
		return append(b[:n-2], b[n-1])
	}
	return strconv.AppendFloat(b, d.Seconds(), 'f', -1, 64)
}

// appendText appends s as a value in text, in quotes if it needs them.
func appendText(b []byte, s string) []byte {
	if needsQuotes(s) {
		return strconv.AppendQuote(b, s)
	}
	return append(b, s...)
}

func needsQuotes(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			return strings.ContainsFunc(s, strange)
		case strange(rune(c)):
			return true
		}
	}
	return s == ""
}

// strange tells whether a value with r in it needs quotes.
func strange(r rune) bool {
	if r < utf8.RuneSelf {
		return r <= ' ' || r == '"' || r == '='
	}
	return r == utf8.RuneError || unicode.IsSpace(r) || !unicode.IsPrint(r)
}

// appendJSON appends s as a JSON string.
func appendJSON(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0 // what has not been appended yet
	for i, r := range s {
		if r >= ' ' && r != '"' && r != '\\' && r != '\u2028' && r != '\u2029' && r != utf8.RuneError {
			continue
		}
		size := utf8.RuneLen(r)
		if r == utf8.RuneError {
			if _, size = utf8.DecodeRuneInString(s[i:]); size > 1 {
				continue // it stands there as such
			}
		}
		b = append(b, s[from:i]...)
		from = i + size
		switch r {
		case '"', '\\':
			b = append(b, '\\', byte(r))
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		}
	}
	return append(append(b, s[from:]...), '"')
}
