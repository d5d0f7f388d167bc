package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-cache/berth/server"
)

// newSecureRig is newRig over TLS, whose client speaks HTTP/2, and how others are to speak to it.
func newSecureRig(t *testing.T, o server.Options) (*rig, *tls.Config) {
	t.Helper()
	certificate := issued(t, 1)
	o.Certificate = server.NewCertificate(certificate)
	r := newRig(t, o)
	trusting := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1"}
	trusting.RootCAs.AddCert(certificate.Leaf)
	transport := r.client.Transport.(*http.Transport)
	transport.TLSClientConfig, transport.ForceAttemptHTTP2 = trusting.Clone(), true
	return r, trusting
}

// getSecure is get over HTTP/2.
func (r *rig) getSecure(path string) (int, string, error) {
	response, err := r.client.Get("https://berth.test" + path)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.ProtoMajor != 2 {
		err = fmt.Errorf("answered over %s", response.Proto)
	}
	return response.StatusCode, string(body), err
}

// framed opens a connection whose frames the test writes itself.
func framed(t *testing.T) *tls.Conn {
	t.Helper()
	r, trusting := newSecureRig(t, server.Options{})
	trusting.NextProtos = []string{"h2"}
	c := tls.Client(r.dial(t), trusting)
	t.Cleanup(func() { c.Close() })
	noSettings := "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+noSettings); err != nil {
		t.Fatal(err)
	}
	return c
}

// Nothing can come between the parts of a header, the answer to a ping included.
func TestHeaderOverHTTP2ThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := framed(t)
		began := time.Now()
		trickled := make(chan struct{})
		go func() {
			defer close(trickled)
			for b := []byte("\x00\x40\x00\x01\x04\x00\x00\x00\x01"); ; b = []byte{0} {
				if _, err := c.Write(b); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		//nolint:errcheck // it may end in any way, but it has to
		io.Copy(io.Discard, c)
		if took := time.Since(began); took < 45*time.Second || took > 46*time.Second {
			t.Errorf("closed after %s, want 45 s", took)
		}
		c.Close()
		<-trickled
	})
}

// A connection makes us keep a buffer for the largest frame that it may send.
func TestFramesAreSmall(t *testing.T) {
	const maxFrameSize = 5 // the setting's number, RFC 9113, 6.5.2
	synctest.Test(t, func(t *testing.T) {
		c := framed(t)
		header := make([]byte, 9)
		if _, err := io.ReadFull(c, header); err != nil || header[3] != 4 {
			t.Fatalf("%x is no frame of settings, %v", header, err)
		}
		settings := make([]byte, binary.BigEndian.Uint32(header)>>8)
		if _, err := io.ReadFull(c, settings); err != nil {
			t.Fatal(err)
		}
		for ; len(settings) >= 6; settings = settings[6:] {
			if most := binary.BigEndian.Uint32(settings[2:]); binary.BigEndian.Uint16(settings) == maxFrameSize && most > 16<<10 {
				t.Errorf("a frame may have %d bytes", most)
			}
		}
	})
}

// The time for an answer that net/http counts runs from a stream's beginning.
func TestHandlerOverHTTP2MayWaitForLong(t *testing.T) {
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			time.Sleep(10 * time.Minute)
			fmt.Fprint(w, "piece ")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r, _ := newSecureRig(t, server.Options{Handler: slow})
		if status, body, err := r.getSecure("/"); status != 200 || body != strings.Repeat("piece ", 3) || err != nil {
			t.Errorf("%d %q, %v", status, body, err)
		}
	})
}
