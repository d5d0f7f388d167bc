package config_test

import (
	"fmt"
	"os"

	"github.com/berth-cache/berth/config"
)

func ExampleParse() {
	c, err := config.Parse("berth.yaml", []byte("upstreams:\n  quay: {url: \"https://quay.io\", validity: 2d}\n"), os.LookupEnv)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Listen, c.Upstreams[0].Validity, c.Registries[0].Upstreams)
	// Output: 127.0.0.1:5000 48h0m0s [quay]
}

func ExampleFaults() {
	_, err := config.Parse("berth.yaml", []byte("listen: 5000\nupstreams:\n  quay:\n    uri: https://quay.io\n"), os.LookupEnv)
	fmt.Println(err)
	// Output:
	// berth.yaml:1: listen: "5000" is no address to listen on; write host:port, such as 127.0.0.1:5000, [::1]:5000 or :5000
	// berth.yaml:3: upstreams.quay.url: is missing; write scheme and host alone, such as https://registry.example.com
	// berth.yaml:4: upstreams.quay.uri: is no key here; did you mean url?
}
