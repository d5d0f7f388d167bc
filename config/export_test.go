package config

// KnownKeys returns the path of every key that the parser accepts; * stands for a name.
func KnownKeys() []string {
	var keys []string
	for prefix, known := range map[string][]string{
		"": topKeys, "tls.": tlsKeys, "state.": stateKeys, "log.": logKeys, "upstreams.*.": upstreamKeys, "registries.*.": registryKeys,
	} {
		for _, k := range known {
			keys = append(keys, prefix+k)
		}
	}
	return keys
}

// ReadSize reads text as the value of a key that holds a size.
func ReadSize(text string) (int64, error) {
	d := &decoder{file: "berth.yaml"}
	var size int64
	f := value{decoder: d, node: d.document([]byte("size: " + text)), line: 1}.fields([]string{"size"})
	if f.get("size").size(&size) {
		return size, nil
	}
	return 0, d.faults.sorted()
}
