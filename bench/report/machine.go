package report

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is what a run ran on.
type Machine struct {
	Date       time.Time `json:"date"`
	CPU        string    `json:"cpu"`
	Processors int       `json:"processors"`
	// Memory is in bytes.
	Memory     uint64 `json:"memory"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
	Load       string `json:"load"`
	ServerCPUs string `json:"server_cpus"`
	ClientCPUs string `json:"client_cpus"`
	// Versions are those of the contenders.
	Versions []string `json:"versions"`
}

// ThisMachine describes where this runs. What cannot be read is empty.
func ThisMachine() (Machine, error) {
	m := Machine{Date: time.Now(), Processors: runtime.NumCPU(), Go: runtime.Version()}
	cpus, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m, fmt.Errorf("describe machine: %w", err)
	}
	m.CPU = model(string(cpus))
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return m, fmt.Errorf("describe machine: %w", err)
	}
	m.Load, _, _ = strings.Cut(string(load), " ")
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return m, fmt.Errorf("describe machine: %w", err)
	}
	m.Kernel = "Linux " + unix.ByteSliceToString(name.Release[:])
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return m, fmt.Errorf("describe machine: %w", err)
	}
	m.Memory = uint64(info.Totalram) * uint64(info.Unit)
	return m, nil
}

// model is the first processor's name in the text of /proc/cpuinfo; some architectures
// have none.
func model(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		name, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
