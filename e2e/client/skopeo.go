package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"

	"github.com/berth-cache/berth/e2e/image"
)

// skopeo copies whole images into a folder. It writes the index there in a form of its
// own, so the registry's is asked for separately.
type skopeo struct {
	*storage
	folder
}

var _ Client = skopeo{}

func newSkopeo(tb testing.TB, setup Setup) Client {
	tb.Helper()
	s := skopeo{storage: newStorage(tb, setup, "skopeo")}
	s.command.Private = os.Geteuid() == 0
	s.folder = folder(s.home + "/image")
	return s
}

// Pull copies all platforms.
func (s skopeo) Pull(ctx context.Context, ref string) (Pulled, error) {
	index, err := s.run(ctx, "inspect", "--raw", "--tls-verify=false", "docker://"+ref)
	if err != nil {
		return Pulled{}, err
	}
	if _, err := s.run(ctx, "copy", "--all", "--src-tls-verify=false", "docker://"+ref, "dir:"+string(s.folder)); err != nil {
		return Pulled{}, err
	}
	files, err := s.files("")
	sum := sha256.Sum256([]byte(index))
	return Pulled{Index: withAlgorithm(hex.EncodeToString(sum[:])), Files: files}, err
}

// Expect is all files but the index.
func (s skopeo) Expect(i image.Image) Pulled {
	pulled := s.folder.Expect(i)
	pulled.Files = without(pulled.Files, i.Digest)
	return pulled
}

func without(s []string, drop string) []string {
	var kept []string
	for _, one := range s {
		if one != drop {
			kept = append(kept, one)
		}
	}
	return kept
}
