package pull_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/pull"
)

func TestCut(t *testing.T) {
	all := []string{"a", "b", "c", "d"}
	rows := []struct {
		name string
		tags []string // what came
		want pull.TagPage
		next string // what its Link said
		page []string
		then *pull.TagPage
	}{
		{name: "as it came", tags: all, want: pull.TagPage{N: -1}, page: all},
		{name: "as asked", tags: all[:2], want: pull.TagPage{N: 2}, next: "n=2&last=b", page: all[:2], then: &pull.TagPage{N: 2, Last: "b"}},
		{name: "the last page", tags: all[2:], want: pull.TagPage{N: 2, Last: "b"}, page: all[2:]},
		{name: "more than asked", tags: all, want: pull.TagPage{N: 3}, page: all[:3], then: &pull.TagPage{N: 3, Last: "c"}},
		{name: "more than asked, and a page after", tags: all, want: pull.TagPage{N: 3}, next: "n=4&last=d", page: all[:3], then: &pull.TagPage{N: 3, Last: "c"}},
		{name: "from the beginning again", tags: all, want: pull.TagPage{N: 2, Last: "a"}, page: all[1:3], then: &pull.TagPage{N: 2, Last: "c"}},
		{name: "from the beginning again, to the end", tags: all, want: pull.TagPage{N: 2, Last: "b"}, page: all[2:]},
		{name: "last was the last", tags: all, want: pull.TagPage{N: 2, Last: "d"}, page: []string{}},
		{name: "fewer than asked, with a page after", tags: all[:1], want: pull.TagPage{N: 1000}, next: "n=1&last=a", page: all[:1], then: &pull.TagPage{N: 1, Last: "a"}},
		{name: "a page nobody asked for", tags: all, want: pull.TagPage{N: -1}, next: "n=4&last=d", page: all, then: &pull.TagPage{N: 4, Last: "d"}},
		{name: "without n", tags: all, want: pull.TagPage{N: -1}, next: "last=d", page: all, then: &pull.TagPage{N: -1, Last: "d"}},
		{name: "with another parameter", tags: all, want: pull.TagPage{N: 4}, next: "next_page=xyz&n=4", page: all, then: &pull.TagPage{N: 4, Last: "d"}},
		{name: "n of the upstream's too large", tags: all, want: pull.TagPage{N: -1}, next: "n=100000&last=d", page: all, then: &pull.TagPage{N: 1000, Last: "d"}},
		{name: "n of the upstream's is none", tags: all, want: pull.TagPage{N: 4}, next: "n=-1&last=d", page: all, then: &pull.TagPage{N: 4, Last: "d"}},
		{name: "a link that cannot be read", tags: all, want: pull.TagPage{N: 4}, next: "%zz", page: all},
		{name: "nothing, and a page after: no end", tags: nil, want: pull.TagPage{N: 4}, next: "n=4&last=z"},
		{name: "none wanted", tags: all[:1], want: pull.TagPage{N: 0}, next: "n=1&last=a"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			page, then := pull.Cut(row.tags, row.want, row.next)
			if diff := cmp.Diff(row.page, page); diff != "" {
				t.Errorf("page (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(row.then, then); diff != "" {
				t.Errorf("next (-want +got):\n%s", diff)
			}
		})
	}
}
