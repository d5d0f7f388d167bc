package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Run is everything that a run says.
type Run struct {
	Machine Machine `json:"machine"`
	// Settings are those that are not the defaults, as flags.
	Settings string `json:"settings"`
	Rows     []Row  `json:"rows"`
}

// WriteJSON writes the run for machines.
func (r Run) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// WriteHeader writes what the run ran on, for people.
func (r Run) WriteHeader(w io.Writer) error {
	m := r.Machine
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", m.Date.Format("2006-01-02 15:04 MST"))
	fmt.Fprintf(&b, "%s, %d processors, %s of memory, %s\n", m.CPU, m.Processors, binary(float64(m.Memory)), m.Kernel)
	fmt.Fprintf(&b, "servers on processors %s, upstream and clients on %s, load before the run %s\n", orAll(m.ServerCPUs), orAll(m.ClientCPUs), m.Load)
	fmt.Fprintf(&b, "%s; %s\n", m.Go, strings.Join(m.Versions, "; "))
	fmt.Fprintf(&b, "medians (least–greatest) of rounds; ratios are medians of the rounds' own ratios; %s\n", r.Settings)
	_, err := io.WriteString(w, b.String())
	return err
}

func orAll(cpus string) string {
	if cpus == "" {
		return "all"
	}
	return cpus
}
