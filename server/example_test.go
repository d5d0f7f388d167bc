package server_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/berth-cache/berth/server"
)

// A server that is told to stop goes on until nobody is in the middle of a pull.
func Example() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	s := server.New(server.Options{
		MaxConnections: 100,
		Handler:        http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a layer") }),
	})
	served := make(chan error)
	go func() { served <- s.Serve(l) }()

	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	fmt.Println(string(body), err)
	fmt.Println(s.Drain(context.Background(), 100*time.Millisecond), <-served)
	// Output:
	// a layer <nil>
	// <nil> <nil>
}
