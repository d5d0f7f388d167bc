// Command distribution is the reference registry as a pull-through cache over a file
// system: `distribution ADDRESS UPSTREAM FOLDER`. Its settings are those of the
// configuration that it comes with; the access log goes to standard output.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // storage by name
	access "github.com/gorilla/handlers"
	"github.com/sirupsen/logrus"

	"github.com/berth-cache/berth/bench/process"
)

func main() {
	process.Main("distribution", run)
}

func run(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return errors.New("usage: distribution ADDRESS UPSTREAM FOLDER")
	}
	config := &configuration.Configuration{
		Storage: configuration.Storage{
			"filesystem":  {"rootdirectory": args[2]},
			"cache":       {"blobdescriptor": "inmemory"},
			"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
		},
		Proxy: configuration.Proxy{RemoteURL: args[1]},
	}
	config.HTTP.Secret = "bench"
	// One line a request is enough: the others write one as well.
	logrus.SetLevel(logrus.ErrorLevel)
	app := handlers.NewApp(context.WithoutCancel(ctx), config)
	err := process.Serve(ctx, args[0], access.CombinedLoggingHandler(os.Stdout, app))
	return errors.Join(err, app.Shutdown())
}
