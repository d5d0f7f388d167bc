package main

import (
	"errors"
	"log/slog"
	"net/url"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/berth-cache/berth/config"
	"github.com/berth-cache/berth/upstream"
)

func account(password string) []config.Credential {
	return []config.Credential{{Username: "me", Password: config.NewSecret(password)}}
}

func settings(name string, change func(*config.Upstream)) config.Upstream {
	u := config.Upstream{
		Name: name, URL: &url.URL{Scheme: "https", Host: name + ".example"}, Hosts: []string{name + ".example"},
		Credentials: account("secret"), Validity: time.Hour,
	}
	if change != nil {
		change(&u)
	}
	return u
}

// A client stays as long as nothing changes that it is made of.
func TestClientsThatStay(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*config.Upstream)
		stays  bool
	}{
		"nothing":       {nil, true},
		"how fresh":     {func(u *config.Upstream) { u.Validity, u.MaxStale, u.ListValidity = 0, 1, 2 }, true},
		"how hardened":  {func(u *config.Upstream) { u.Hardened, u.KeepDeleted = true, true }, true},
		"same password": {func(u *config.Upstream) { u.Credentials = account("secret") }, true},
		"password":      {func(u *config.Upstream) { u.Credentials = account("other") }, false},
		"address":       {func(u *config.Upstream) { u.URL = &url.URL{Scheme: "http", Host: "b.example"} }, false},
		"realms":        {func(u *config.Upstream) { u.Realms = []string{"login.example"} }, false},
		"private":       {func(u *config.Upstream) { u.Private = true }, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := new(fleet)
			first, err := f.plan([]config.Upstream{settings("a", nil), settings("b", nil)})
			must(t, err)
			f.enlist(first)
			second, err := f.plan([]config.Upstream{settings("a", test.change), settings("c", nil)})
			must(t, err)
			f.enlist(second)
			defer f.close()
			if got := second["a"].client == first["a"].client; got != test.stays {
				t.Errorf("the client stays: %t, want %t", got, test.stays)
			}
			retired := map[bool]int{true: 1, false: 2}[test.stays] // b, and perhaps a
			if diff := cmp.Diff(retired, len(f.retired)); diff != "" {
				t.Errorf("retired (-want +got):\n%s", diff)
			}
		})
	}
}

// Whom nobody can reach any more is forgotten.
func TestRetiredClientsAreForgotten(t *testing.T) {
	f := new(fleet)
	defer f.close()
	enlist := func(name string) {
		next, err := f.plan([]config.Upstream{settings(name, nil)})
		must(t, err)
		f.enlist(next)
	}
	enlist("a")
	eventually(t, "no client but the last is held", func() bool {
		enlist("b")
		enlist("a")
		runtime.GC()
		return len(f.retired) <= 2
	})
}

func TestPlanThatFailsChangesNothing(t *testing.T) {
	f := new(fleet)
	defer f.close()
	first, err := f.plan([]config.Upstream{settings("a", nil)})
	must(t, err)
	f.enlist(first)
	broken := settings("b", func(u *config.Upstream) { u.CA = []byte("nothing") })
	if _, err := f.plan([]config.Upstream{settings("a", nil), broken}); err == nil {
		t.Error("a certificate that is none was taken")
	}
	if len(f.crew) != 1 || f.crew["a"].client != first["a"].client {
		t.Errorf("the crew is %v", f.crew)
	}
}

// A configuration that is refused, as it is every two seconds while it stands, leaves no
// client behind.
func TestRefusedPlansLeaveNothing(t *testing.T) {
	for name, refuse := range map[string]func(f *fleet) error{
		"one account twice": func(f *fleet) error {
			_, err := f.plan([]config.Upstream{settings("a", nil), settings("b", nil), settings("c", func(u *config.Upstream) { u.URL = settings("b", nil).URL })})
			return err
		},
		"no certificate": func(f *fleet) error {
			_, err := f.plan([]config.Upstream{settings("b", nil), settings("c", func(u *config.Upstream) { u.CA = []byte("nothing") })})
			return err
		},
		"dismissed": func(f *fleet) error {
			planned, err := f.plan([]config.Upstream{settings("a", nil), settings("b", nil)})
			f.dismiss(planned)
			return errors.Join(err, errors.New("dismissed"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fleet{metrics: upstream.NewMetrics(prometheus.NewRegistry())}
			defer f.close()
			first, err := f.plan([]config.Upstream{settings("a", nil)})
			must(t, err)
			f.enlist(first)
			// All that a client is made of has its logger.
			f.logger = slog.New(slog.DiscardHandler)
			left := weak.Make(f.logger)
			if err := refuse(f); err == nil {
				t.Error("it was not refused")
			}
			f.logger = nil
			eventually(t, "nothing refers to the clients", func() bool {
				runtime.GC()
				return left.Value() == nil
			})
		})
	}
}
