package pull_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/berth-cache/berth/pull"
)

const (
	ociImage    = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	dockerImage = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList  = "application/vnd.docker.distribution.manifest.list.v2+json"
)

func TestInspect(t *testing.T) {
	const image, index = `"schemaVersion":2,"config":{},"layers":[]`, `"schemaVersion":2,"manifests":[]`
	of := func(mediaType, fields string) string { return `{"mediaType":"` + mediaType + `",` + fields + `}` }
	rows := []struct {
		name, body, contentType string
		want                    string // the media type, empty if it is refused
		says                    string // part of the refusal
	}{
		{name: "image", body: of(ociImage, image), contentType: ociImage, want: ociImage},
		{name: "index", body: of(ociIndex, index), contentType: ociIndex, want: ociIndex},
		{name: "Docker's image", body: of(dockerImage, image), contentType: dockerImage, want: dockerImage},
		{name: "Docker's list", body: of(dockerList, index), contentType: dockerList, want: dockerList},
		{name: "no type of its own", body: "{" + image + "}", contentType: ociImage, want: ociImage},
		{name: "no type of its own, an index", body: "{" + index + "}", contentType: ociIndex, want: ociIndex},
		{name: "came as text", body: of(dockerImage, image), contentType: "text/plain", want: dockerImage},
		{name: "came without a type", body: of(ociIndex, index), contentType: "", want: ociIndex},
		{name: "no type at all, an image", body: "{" + image + "}", contentType: "application/json", want: ociImage},
		{name: "no type at all, an index", body: "{" + index + "}", contentType: "application/json", want: ociIndex},
		{name: "a type of somebody's own", body: of("application/vnd.example", image), contentType: ociImage, want: ociImage},
		{name: "an artifact without layers", body: `{"schemaVersion":2,"config":{}}`, contentType: ociImage, want: ociImage},

		{name: "image that came as index", body: of(ociImage, image), contentType: ociIndex, says: "came as"},
		{name: "OCI that came as Docker", body: of(ociImage, image), contentType: dockerImage, says: "came as"},
		{name: "index in an image's clothes", body: of(ociImage, index), contentType: ociImage, says: "not what"},
		{name: "image in an index's clothes", body: "{" + image + "}", contentType: dockerList, says: "not what"},
		{name: "both", body: "{" + image + `,"manifests":[]}`, contentType: ociIndex, says: "both"},
		{name: "both, told apart by case alone", body: `{"schemaVersion":2,"Layers":[],"manifests":[]}`, contentType: ociIndex, says: "both"},
		{name: "schema 1", body: `{"schemaVersion":1,"fsLayers":[]}`, contentType: "application/vnd.docker.distribution.manifest.v1+prettyjws", says: "schema 1"},
		{name: "schema 1 without its number", body: `{"fsLayers":[{}],"config":{},"layers":[]}`, contentType: ociImage, says: "schema 1"},
		{name: "nothing of a manifest", body: `{}`, contentType: "application/json", says: "no manifest's"},
		{name: "a web page", body: "<html></html>", contentType: "text/html", says: "not a JSON"},
		{name: "cut", body: of(ociImage, image)[:40], contentType: ociImage, says: "not a JSON"},
		{name: "two documents", body: of(ociImage, image) + "{}", contentType: ociImage, says: "not a JSON"},
		{name: "a list", body: "[]", contentType: ociImage, says: "not a JSON"},
		{name: "empty", body: "", contentType: ociImage, says: "not a JSON"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got, err := pull.Inspect([]byte(row.body), row.contentType)
			if got != row.want || (err == nil) == (row.want == "") {
				t.Errorf("%q, %v; want %q", got, err, row.want)
			}
			if err != nil && !strings.Contains(err.Error(), row.says) {
				t.Errorf("refused with %q, want something with %q", err, row.says)
			}
		})
	}
}

// Whatever comes, what is served as an image has nothing of an index and the other way
// round, as every reader of JSON sees it.
func FuzzInspect(f *testing.F) {
	for _, body := range []string{
		`{"schemaVersion":2,"config":{},"layers":[]}`, `{"manifests":[]}`, `{"mediaType":"` + ociIndex + `","manifests":[]}`,
		`{"layers":[],"manifests":null}`, `{"LAYERS":[]}`, `{"layers":null,"config":null}`, `null`,
	} {
		for _, contentType := range []string{ociImage, ociIndex, dockerList, "text/plain"} {
			f.Add([]byte(body), contentType)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		mediaType, err := pull.Inspect(body, contentType)
		if err != nil {
			if mediaType != "" {
				t.Errorf("refused, and of type %q", mediaType)
			}
			return
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(body, &fields); err != nil {
			t.Fatalf("taken, but no object: %v", err)
		}
		has := func(name string) bool { return fields[name] != nil && string(fields[name]) != "null" }
		switch mediaType {
		case ociImage, dockerImage:
			if has("manifests") {
				t.Error("an image that has manifests")
			}
		case ociIndex, dockerList:
			if has("layers") || has("config") {
				t.Error("an index that has layers or a config")
			}
		default:
			t.Errorf("taken as %q", mediaType)
		}
	})
}
