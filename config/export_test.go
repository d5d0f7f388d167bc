package config

// KnownKeys returns the path of every key that the parser accepts; * stands for a name.
func KnownKeys() []string {
	var keys []string
	for prefix, known := range map[string][]string{
		"": topKeys, "tls.": tlsKeys, "cache.": cacheKeys, "state.": stateKeys, "log.": logKeys, "upstreams.*.": upstreamKeys, "registries.*.": registryKeys,
	} {
		for _, k := range known {
			keys = append(keys, prefix+k)
		}
	}
	return keys
}
