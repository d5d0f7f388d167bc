package proxy

import (
	"net/http"
	"time"
)

// stretch is how much is sent between two deadlines: at a minute's stall, a client that
// takes less than 35 kB/s is given up.
const stretch = 2 << 20

// pace gives the next stretch its time: what counts is progress, not the total.
func (w *response) pace() {
	w.paced = true
	w.deadline(time.Now().Add(w.stall))
}

// rest takes the deadline off a stream that may have to wait for what it is sent next.
func (w *response) rest() {
	if w.streamed && w.paced {
		w.paced = false
		w.deadline(time.Time{})
	}
}

func (w *response) deadline(t time.Time) {
	//nolint:errcheck // a client that is gone needs none, a test's recorder has none
	http.NewResponseController(w.ResponseWriter).SetWriteDeadline(t)
}

// soon tells whether what is written next may go by the deadline that the server set when
// the request came: it is little, and the request is young. That spares the most frequent
// answers three timers.
func (w *response) soon(n int) bool {
	return w.timed && w.bytes+int64(n) <= stretch && time.Since(w.began) < w.stall/4
}

// settle sends what is still in a buffer, which a client may not take either. The deadline
// stays for what the server adds, the end of a body without a length; then it goes by itself.
func (w *response) settle() {
	if w.status == 0 {
		return // the client is gone
	}
	if !w.paced && w.soon(0) {
		return // the server sends it
	}
	if !w.paced {
		w.pace()
	}
	w.Flush()
}
