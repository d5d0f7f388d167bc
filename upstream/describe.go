package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"
)

// describe says in words that a person can act on why asking host brought no answer. It
// repeats hosts and addresses of the error, never a URL.
func (c *Client) describe(host string, err error) string {
	text := c.cause(err)
	_, named := errors.AsType[*addressError](err)
	if hop, ok := errors.AsType[*hopError](err); ok && hop.host != host && !named {
		text = hop.host + ": " + text
	}
	return host + ": " + text
}

func (c *Client) cause(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" {
		return errEgress.Error() + ": " + c.cause(op.Err)
	}
	if text := c.certificate(err); text != "" {
		return text
	}
	if addr, ok := errors.AsType[*addressError](err); ok {
		if addr.reach == private {
			return addr.Error() + "; set private for upstream " + c.cfg.Name + " if that is meant"
		}
		return addr.Error()
	}
	for _, own := range []error{errForeignRealm, errRedirect, errProxy, errEgress, ErrClosed, ErrDown, ErrQueue, ErrTooLarge, ErrStalled, errAnswer} {
		if errors.Is(err, own) {
			return ownText(err)
		}
	}
	netErr, isNet := errors.AsType[net.Error](err)
	dns, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case errors.Is(err, context.Canceled):
		return "request was cancelled"
	case errors.Is(err, context.DeadlineExceeded), isNet && netErr.Timeout():
		return "no answer in time"
	case isDNS && dns.IsNotFound:
		return "name " + dns.Name + " does not exist"
	case isDNS:
		return "name " + dns.Name + " could not be looked up"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to it"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection broke before an answer"
	default:
		return "connection failed"
	}
}

// ownText is the text of an error that was made here, without what wraps it.
func ownText(err error) string {
	if hop, ok := errors.AsType[*hopError](err); ok {
		return hop.err.Error()
	}
	return err.Error()
}

// certificate explains errors of TLS; empty for others.
func (c *Client) certificate(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "certificate is signed by an unknown authority; set ca_file of upstream " + c.cfg.Name
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "certificate is for another host"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return "certificate has expired or is not valid yet"
		}
		return "certificate is not valid"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "does not speak TLS"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "certificate is not valid"
	}
	return ""
}
