package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-cache/berth/e2e/image"
)

// errContent says that a file does not hold what its name promises.
var errContent = errors.New("content does not match its name")

// folder is where a client without a store of its own puts whole images.
type folder string

// Remove drops everything.
func (f folder) Remove(context.Context, string) error {
	if err := os.RemoveAll(string(f)); err != nil {
		return fmt.Errorf("remove %s: %w", f, err)
	}
	return nil
}

// Expect is the image for all platforms.
func (f folder) Expect(i image.Image) Pulled {
	return Pulled{Index: i.Digest, Files: everything(i)}
}

// files are the digests of all files below sub that are named by theirs. A name may have
// more after a dot.
func (f folder) files(sub string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(string(f), sub))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", f, err)
	}
	var digests []string
	for _, entry := range entries {
		name, _, _ := strings.Cut(entry.Name(), ".")
		if len(name) != hex.EncodedLen(sha256.Size) {
			continue
		}
		sum, err := hash(filepath.Join(string(f), sub, entry.Name()))
		if err != nil {
			return nil, err
		}
		if sum != name {
			return nil, fmt.Errorf("%w: %s is sha256:%s", errContent, entry.Name(), sum)
		}
		digests = append(digests, withAlgorithm(sum))
	}
	return sorted(digests...), nil
}

func hash(file string) (string, error) {
	content, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("hash: %w", err)
	}
	defer func() { _ = content.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, content); err != nil {
		return "", fmt.Errorf("hash %s: %w", file, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
