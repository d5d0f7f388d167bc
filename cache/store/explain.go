package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// explain says what is wrong with the folder dir and what to do about it.
func explain(dir string, err error) error {
	hint := Hint(dir, err)
	if isFile(dir) {
		hint = Hint(dir, syscall.ENOTDIR)
	}
	return fmt.Errorf("content folder %s%s: %w", dir, hint, err)
}

// Hint says in words, after a colon, what is wrong with the file or folder at path that an
// operation on it, or in it, failed with err, and what to do about it. It is empty where
// err is not the file system's, or says it all.
func Hint(path string, err error) string {
	switch {
	case errors.Is(err, ErrInUse):
	case errors.Is(err, fs.ErrNotExist):
		return ": its parent does not exist: make it, or mount the volume"
	case errors.Is(err, syscall.ENOTDIR):
		return ": a file is in the way: remove it, or use another folder"
	case errors.Is(err, fs.ErrExist):
		return ": a link that leads nowhere is in the way: remove it, or make what it leads to"
	case errors.Is(err, syscall.EISDIR):
		return ": a folder is in the way: remove it, or use another folder"
	case errors.Is(err, syscall.EROFS):
		return ": the file system is read-only: mount it writable"
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return ": the file system is full: free some space"
	case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
		return ": too many files are open: raise the limit (ulimit -n)"
	case errors.Is(err, syscall.EIO):
		return ": the disk does not work: look at the kernel's log"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf(": not usable by user %d%s: change its owner, or run as the owner", os.Geteuid(), owner(path))
	}
	return ""
}

// isFile covers what the standard library reports without a number of its own.
func isFile(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && !info.IsDir()
}

// owner tells to whom path belongs, as an aside for an error; empty when unknown.
func owner(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf(" (it belongs to user %d)", st.Uid)
	}
	return ""
}
