// Package client drives the real programs that pull images. Each keeps everything in
// folders of its own, starts the daemon it needs, and tells after a pull what it holds, so
// that a test can compare that with the image that was pushed. It knows nothing of Berth
// but an address.
package client
