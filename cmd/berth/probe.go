package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/config"
	"github.com/berth-cache/berth/upstream"
)

const (
	// probeBound is how long an upstream may take for all that it is asked.
	probeBound = 20 * time.Second
	// renewSoon is when a certificate's end is worth a remark.
	renewSoon = 14 * 24 * time.Hour
)

// errUpstreams says that upstreams cannot be used, errImages that they can, but have not
// every image; what is wrong has been printed.
var (
	errUpstreams = errors.New("not every upstream can be used as it is configured")
	errImages    = errors.New("not every image can be pulled")
)

// probe asks every upstream for real, and for images, named as clients name them.
type probe struct {
	upstreams []config.Upstream
	clients   crew
	snapshot  *catalog.Snapshot
	images    []string
}

// run asks, and prints a table of each. Its error says only that something is wrong: what
// that is comes last in what is printed.
func (p probe) run(ctx context.Context, out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	reports := p.ask(ctx)
	images, missing := p.askImages(ctx) // before the table: the limit is told with a manifest
	var wrong, odd []string
	fmt.Fprintln(t, "UPSTREAM\tANSWERED IN\tLOGIN\tPULLS LEFT\tCERTIFICATE UNTIL")
	for i, u := range p.upstreams {
		r := reports[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", u.Name, latency(r), loginOf(u, r), pullsLeft(p.clients[u.Name].client), until(u, r))
		if r.Err != nil {
			wrong = append(wrong, u.Name+": "+r.Err.Message)
		}
		if r.Odd {
			odd = append(odd, u.Name+": answers, but not like a registry: /v2/ is a web page that says 404; check its url")
		}
	}
	if len(images) > 0 {
		fmt.Fprintln(t, "\nIMAGE\tUPSTREAM\tSAYS")
		for _, a := range images {
			fmt.Fprintf(t, "%s\t%s\t%s\n", a.image, a.upstream, a.says)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if last := slices.Concat(odd, missing, wrong); len(last) > 0 {
		fmt.Fprintf(out, "\n%s\n", strings.Join(last, "\n"))
	}
	switch {
	case len(wrong) > 0:
		return errUpstreams
	case len(missing) > 0:
		return errImages
	}
	return nil
}

// ask asks all upstreams at once.
func (p probe) ask(ctx context.Context) []upstream.Report {
	reports := make([]upstream.Report, len(p.upstreams))
	var asking sync.WaitGroup
	for i, u := range p.upstreams {
		asking.Go(func() {
			bounded, cancel := context.WithTimeout(ctx, probeBound)
			defer cancel()
			reports[i] = p.clients[u.Name].client.Probe(bounded)
		})
	}
	asking.Wait()
	return reports
}

func (p probe) askImages(ctx context.Context) (lines []answerLine, missing []string) {
	for _, name := range p.images {
		said, ok := probeImage(ctx, p.snapshot, name)
		lines = append(lines, said...)
		if !ok {
			missing = append(missing, name+": no upstream has it for us")
		}
	}
	return lines, missing
}

// answerLine is what an upstream says of an image.
type answerLine struct{ image, upstream, says string }

// probeImage asks for an image as a pull would, by HEAD alone, until an upstream has it.
func probeImage(ctx context.Context, snapshot *catalog.Snapshot, image string) (lines []answerLine, ok bool) {
	name, reference := splitImage(image)
	route, err := snapshot.Route(catalog.Query{Name: name})
	if err != nil {
		return []answerLine{{image, "none", err.Error()}}, false
	}
	for _, u := range route.Candidates {
		client, isClient := u.Client.(*upstream.Client)
		if !isClient {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, probeBound)
		resp, err := client.Do(bounded, upstream.Request{Method: http.MethodHead, Kind: upstream.KindManifest, Repository: route.Repository, Reference: reference})
		cancel()
		if err == nil {
			resp.Body.Close()
			return append(lines, answerLine{image, u.Name, "here, " + orUnknown(string(resp.Digest))}), true
		}
		e, _ := errors.AsType[*upstream.Error](err)
		lines = append(lines, answerLine{image, u.Name, e.Message})
		if stops(e.Class, route.Registry.NextOnError || strings.Contains(reference, ":")) {
			break
		}
	}
	return lines, false
}

// stops tells whether a pull ends at an upstream that says this. It goes on past one that is
// ill if any answer will do: that of on_error: next, or one that its digest proves.
func stops(c upstream.Class, anyWillDo bool) bool {
	switch c {
	case upstream.NotHere, upstream.Denied:
		return false
	case upstream.Refused:
		return true
	}
	return !anyWillDo
}

// splitImage splits a name from its tag or digest; without one the tag is latest.
func splitImage(image string) (name, reference string) {
	if name, digest, ok := strings.Cut(image, "@"); ok {
		return name, digest
	}
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		return image[:i], image[i+1:]
	}
	return image, "latest"
}

func latency(r upstream.Report) string {
	if r.Latency == 0 {
		return "never"
	}
	return max(r.Latency.Round(time.Millisecond), time.Millisecond).String()
}

func loginOf(u config.Upstream, r upstream.Report) string {
	if len(r.Logins) == 0 {
		return logins(u)
	}
	var all []string
	for i, state := range r.Logins {
		said := map[upstream.LoginState]string{upstream.LoginGood: "", upstream.LoginRefused: ", refused", upstream.LoginUnasked: ", not asked for"}[state]
		all = append(all, u.Credentials[i].String()+said)
	}
	return strings.Join(all, "; ")
}

// pullsLeft is of the limit that the upstream told, if it told one.
func pullsLeft(c *upstream.Client) string {
	l, told := c.RateLimit()
	if !told {
		return "not told"
	}
	return fmt.Sprintf("%d of %d", l.Remaining, l.Limit)
}

func until(u config.Upstream, r upstream.Report) string {
	t := r.Certificate
	switch {
	case !t.IsZero():
	case r.Latency == 0 && u.URL.Scheme == "https":
		return "not seen"
	default:
		return "none"
	}
	text := t.UTC().Format(time.DateOnly)
	if left := time.Until(t); left < renewSoon {
		text += fmt.Sprintf(", in %d days", int(left/(24*time.Hour)))
	}
	return text
}

func orUnknown(s string) string {
	if s == "" {
		return "digest not told"
	}
	return s
}
