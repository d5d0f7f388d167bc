package upstream

// Retire says that the Client gets no new work. It goes on answering whoever has it still,
// and keeps no connection for the next request: idle ones are closed now, others when their
// request ends, and those of a late request after a minute and a half.
func (c *Client) Retire() {
	c.transport.CloseIdleConnections()
	c.alone.CloseIdleConnections()
}
