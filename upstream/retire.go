package upstream

// Retire says that the Client gets no new work. It goes on answering whoever has it still,
// and keeps no connection for long: idle ones are closed now, those of HTTP/1 that have a
// request when it ends. Those of HTTP/2, and all once a late request has come, are closed
// when they were idle for a minute and a half.
func (c *Client) Retire() {
	c.cfg.Metrics.unwatch(c.hosts)
	c.cfg.Metrics.forget(c.cfg.Name)
	c.transport.CloseIdleConnections()
	c.alone.CloseIdleConnections()
}
