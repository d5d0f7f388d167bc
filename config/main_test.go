package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/berth-cache/berth/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// anyVariable is an environment in which every variable is set.
func anyVariable(string) (string, bool) { return "value", true }

// parse returns the configuration that text means, which must have no fault.
func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("berth.yaml", []byte(text), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c
}

// faultTest is a file and the whole of what is wrong with it, one fault a line. The
// messages are the product: someone reads them at night, with builds waiting.
type faultTest struct{ name, text, want string }

func testFaults(t *testing.T, tests []faultTest) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env := func(name string) (string, bool) { return "", name == "EMPTY" }
			c, err := config.Parse("berth.yaml", []byte(test.text), env)
			if err == nil || c != nil {
				t.Fatalf("parsed:\n%s", test.text)
			}
			if _, found := errors.AsType[config.Faults](err); !found {
				t.Errorf("error is a %T", err)
			}
			if diff := cmp.Diff(lines(test.want), lines(err.Error())); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func lines(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }
