// Puts load on a gRPC server and prints what it took, as one line of JSON.
//
// Requests and answers stay bytes: neither is put together or taken apart, so that the processor's time is the server's.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const timeout = 60 * time.Second

// A codec that passes bytes through.
type raw struct{}

func (raw) Marshal(message any) ([]byte, error) { return *(message.(*[]byte)), nil }

func (raw) Unmarshal(data []byte, message any) error {
	*(message.(*[]byte)) = append([]byte(nil), data...)
	return nil
}

func (raw) Name() string { return "proto" }

type load struct {
	connections         []*grpc.ClientConn
	method, key, domain string
	request             []byte
	domains             int
	ends                time.Time
	every               time.Duration
}

// What one caller saw.
type found struct {
	milliseconds []float64
	bytes        int
	refused      int
	failed       int
	fault        string
}

func (load *load) call(caller int) (found found) {
	connection := load.connections[caller%len(load.connections)]
	for {
		began := time.Now()
		if !began.Before(load.ends) {
			return found
		}
		domain := load.domain
		if domain == "" {
			domain = fmt.Sprintf("site-%d.example", rand.IntN(load.domains))
		}
		ctx, cancel := context.WithTimeout(
			metadata.AppendToOutgoingContext(context.Background(), "authentication", load.key, "domain", domain), timeout)
		var answer []byte
		err := connection.Invoke(ctx, load.method, &load.request, &answer)
		cancel()
		if status.Code(err) == codes.ResourceExhausted {
			found.refused++
			continue
		}
		if err != nil {
			found.failed++
			found.fault = err.Error()
			continue
		}
		found.milliseconds = append(found.milliseconds, time.Since(began).Seconds()*1000)
		found.bytes += len(answer)
		time.Sleep(load.every - time.Since(began))
	}
}

func run() error {
	target := flag.String("target", "", "the address of the server")
	method := flag.String("method", "", "the full name of the method")
	key := flag.String("key", "", "the API key")
	request := flag.String("request", "", "a file with the request's bytes")
	domain := flag.String("domain", "", "the domain to ask about; else one of the small ones, picked at random")
	domains := flag.Int("domains", 1, "the number of small domains")
	callers := flag.Int("callers", 1, "requests in flight")
	every := flag.Duration("every", 0, "the time from one request of a caller to its next, at least")
	seconds := flag.Float64("seconds", 1, "how long requests begin")
	flag.Parse()

	body, err := os.ReadFile(*request)
	if err != nil {
		return err
	}
	load := load{method: *method, key: *key, domain: *domain, request: body, domains: *domains, every: *every}
	for range min(*callers, 4) {
		connection, err := grpc.NewClient(*target, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
		if err != nil {
			return err
		}
		defer connection.Close()
		load.connections = append(load.connections, connection)
	}

	began := time.Now()
	load.ends = began.Add(time.Duration(*seconds * float64(time.Second)))
	each := make([]found, *callers)
	var group sync.WaitGroup
	for caller := range each {
		group.Go(func() { each[caller] = load.call(caller) })
	}
	group.Wait()
	took := time.Since(began).Seconds()

	var all found
	for _, one := range each {
		all.milliseconds = append(all.milliseconds, one.milliseconds...)
		all.bytes += one.bytes
		all.refused += one.refused
		all.failed += one.failed
		all.fault += one.fault
	}
	requests := len(all.milliseconds)
	if requests == 0 {
		return fmt.Errorf("no request was answered, %d were refused: %s", all.refused, all.fault)
	}
	slices.Sort(all.milliseconds)
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"at_once":      *callers,
		"requests":     requests,
		"refused":      all.refused,
		"failed":       all.failed,
		"per_second":   float64(requests) / took,
		"p50_ms":       all.milliseconds[requests/2],
		"p99_ms":       all.milliseconds[requests*99/100],
		"max_ms":       all.milliseconds[requests-1],
		"answer_bytes": all.bytes / requests,
	})
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
