// Command distribution is the reference registry as a pull-through cache over a file
// system: `distribution ADDRESS UPSTREAM FOLDER`. Its settings are those of the
// configuration that it comes with; the access log goes to standard output.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/distribution/distribution/v3/configuration"                        //nolint:depguard // it is a peer to measure
	"github.com/distribution/distribution/v3/registry/handlers"                    //nolint:depguard // it is a peer to measure
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" //nolint:depguard // storage by name
	access "github.com/gorilla/handlers"
	"github.com/sirupsen/logrus"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "distribution:", err)
		os.Exit(1)
	}
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
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", args[0])
	if err != nil {
		return err
	}
	server := &http.Server{Handler: access.CombinedLoggingHandler(os.Stdout, app), ReadHeaderTimeout: time.Minute}
	closed := make(chan error, 1)
	context.AfterFunc(ctx, func() { closed <- server.Close() })
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return errors.Join(<-closed, app.Shutdown())
}
