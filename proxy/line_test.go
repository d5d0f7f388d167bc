package proxy

import (
	"bytes"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// handler is slog's handler of a form, as the rest of Berth's log is written.
func handler(form Form, out *bytes.Buffer) slog.Handler {
	if form == Text {
		return slog.NewTextHandler(out, nil)
	}
	return slog.NewJSONHandler(out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.Float64Value(a.Value.Duration().Seconds())
		}
		return a
	}})
}

// compare writes the same with slog and with a line.
func compare(t *testing.T, at time.Time, text string, n int64) {
	t.Helper()
	for _, form := range []Form{Text, JSON} {
		var want bytes.Buffer
		record := slog.NewRecord(at, slog.LevelInfo, text, 0)
		record.AddAttrs(slog.String("text", text), slog.Int64("number", n), slog.Duration("took", time.Duration(n)))
		if err := handler(form, &want).Handle(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		l := line{json: form == JSON, text: []byte("what was there before")}
		l.begin(at, text)
		l.string("text", text)
		l.int("number", n)
		l.duration("took", time.Duration(n))
		l.end()
		if diff := cmp.Diff(want.String(), string(l.text)); diff != "" {
			t.Errorf("%s of %q and %d (-slog +line):\n%s", form, text, n, diff)
		}
	}
}

func TestLineIsThatOfSlog(t *testing.T) {
	berlin := time.FixedZone("", 3600)
	for _, at := range []time.Time{
		time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC), time.Date(2026, 11, 21, 1, 2, 3, 999_999_999, berlin),
		time.Date(2026, 1, 1, 0, 0, 0, 120_000_000, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 1, time.FixedZone("", -5*3600-1800)),
	} {
		compare(t, at, "request", 1)
	}
	at := time.Date(2026, 11, 21, 1, 2, 3, 456_700_000, time.UTC)
	for _, text := range []string{
		"", " ", "plain", "two words", "a=b", `"`, `\`, `quote "inside"`, `back\slash`, "<html>&amp;", "'", "sha256:0a-b_c/d.e+f",
		"\x00", "\a\b\f\v", "tab\there", "line\nbreak\r\n", "\x1b[31mred", "\x7f", "\x80", "caf\xc3", "\xff\xfe", "a\xe2\x82", "x\xc3\x28y",
		"café", "日本語", "日本 語", "🚢", "\u00a0", "\u2028", "a\u2029b", "\u200b", "\ufeff", "\ufffd", "e\u0301", "\U0010ffff", "é=", "é\x7f", "é\"", "é\n",
		strings.Repeat("long ", 2000), "docker/28.2.2 go/go1.24.3 git-commit/45873be kernel/6.1.0 os/linux arch/amd64",
	} {
		compare(t, at, text, 0)
		compare(t, at, "before"+text+"after", 0)
	}
	for c := range 256 {
		compare(t, at, string([]byte{byte(c)}), int64(c))
		compare(t, at, string(rune(c*257)), -int64(c))
	}
	for n := int64(1); n < math.MaxInt64/10; n *= 10 {
		for _, n := range []int64{n, -n, n - 1, 3 * n / 2, n + n/3} {
			compare(t, at, "n", n)
		}
	}
	compare(t, at, "n", math.MaxInt64)
	compare(t, at, "n", math.MinInt64)
}

func FuzzLine(f *testing.F) {
	f.Add("agent \"x\"\n", int64(1500))
	f.Add("\xc3\u2028é", int64(-1))
	f.Fuzz(func(t *testing.T, text string, n int64) { compare(t, time.Unix(n%1e10, n%1e9).UTC(), text, n) })
}
