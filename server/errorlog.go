package server

import (
	"bytes"
	"log/slog"
)

// errorLog is where net/http writes what goes wrong with connections, a line each.
type errorLog struct {
	logger  *slog.Logger
	metrics *Metrics
}

// Write implements io.Writer. A failed handshake is for who looks for it: port scans and
// the checks of load balancers would be a warning each.
func (l errorLog) Write(line []byte) (int, error) {
	text := string(bytes.TrimRight(line, "\n"))
	if bytes.HasPrefix(line, []byte("http: TLS handshake error")) {
		l.metrics.handshakeFailed()
		l.logger.Debug("client connected without agreeing on TLS", "error", text)
		return len(line), nil
	}
	l.logger.Warn("server", "error", text)
	return len(line), nil
}
