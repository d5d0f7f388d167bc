package config

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	maxPasswordBytes = 64 << 10 // tokens of cloud registries have a few KiB
	maxCABytes       = 4 << 20  // a whole system's bundle has 0.3 MiB
)

// shellForm is how a path starts that a shell would expand; ./ before it says that a folder
// is really called so.
var shellForm = regexp.MustCompile(`^(?:~(?:$|/)|\$([A-Za-z_][A-Za-z0-9_]*))`)

// filePath reads the path of a file or folder, made relative to the configuration's folder.
func (v value) filePath(into *string) bool {
	var s string
	if !v.text(&s) {
		return false
	}
	switch m := shellForm.FindStringSubmatch(s); {
	case m != nil && m[1] == "":
		return v.faultf("%s starts with ~, which only a shell understands; write ${HOME}%s", show(s), s[1:])
	case m != nil:
		return v.faultf("%s has a variable without braces; write ${%s}%s", show(s), m[1], s[len(m[0]):])
	case s == "":
	case filepath.IsAbs(s):
		*into = filepath.Clean(s)
	default:
		*into = filepath.Join(v.folder, s)
	}
	return true
}

// password returns what the file holds, without the newline that editors add.
func (v value) password(path string) string {
	data, fine := v.read(path, maxPasswordBytes)
	if !fine {
		return ""
	}
	text := strings.TrimRight(string(data), "\r\n")
	switch {
	case text == "":
		v.faultf("the file %q is empty; write the password into it", path)
	case strings.ContainsAny(text, "\r\n"):
		v.faultf("the file %q has more than one line; write the password alone into it", path)
	}
	return text
}

// authorities returns what the file holds: at least one certificate and no broken one.
func (v value) authorities(path string) []byte {
	data, fine := v.read(path, maxCABytes)
	if !fine {
		return nil
	}
	found := false
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			v.faultf("the file %q holds a broken certificate (%v); write whole PEM certificates into it", path, err)
			return nil
		}
		found = true
	}
	if !found {
		v.faultf("the file %q holds no PEM certificate; write at least one into it, as -----BEGIN CERTIFICATE-----", path)
	}
	return data
}

// read returns the content of a small file that only its owner and group may change.
func (v value) read(path string, limit int64) ([]byte, bool) {
	info, err := os.Stat(path) // before opening, which would wait for a pipe's writer
	if err != nil {
		return nil, v.unread(path, err)
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, v.faultf("%q is no regular file; name one", path)
	case info.Mode().Perm()&0o002 != 0:
		return nil, v.faultf("the file %q can be written by every user (mode %04o); run chmod o-w on it", path, info.Mode().Perm())
	case info.Size() > limit:
		return nil, v.faultf("the file %q is larger than %d KiB; is it the right one?", path, limit>>10)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, v.unread(path, err)
	}
	defer func() { _ = f.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil, v.unread(path, err)
	}
	v.files = append(v.files, File{path, sha256.Sum256(data)})
	return data, true
}

// unread adds the fault that path could not be read because of err.
func (v value) unread(path string, err error) bool {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return v.faultf("the file %q does not exist; create it or mend the path, which starts at this file's folder unless it starts with /", path)
	case errors.Is(err, fs.ErrPermission):
		return v.faultf("the file %q may not be read by user %d, who runs berth; run chown or chmod on it and its folders", path, os.Getuid())
	}
	if e, found := errors.AsType[*fs.PathError](err); found {
		err = e.Err // without the path again
	}
	return v.faultf("the file %q cannot be read (%v); name a file that can", path, err)
}
