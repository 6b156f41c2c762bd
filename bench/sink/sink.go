//go:build linux

// Package sink is an OTLP backend that counts and keeps nothing. It proves
// arrival: by the identity of each item where the items carry one, by their
// number otherwise.
package sink

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/status"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
)

// Stats is what arrived so far.
type Stats struct {
	Requests   uint64 `json:"requests"`
	Items      uint64 `json:"items"`
	Bytes      uint64 `json:"bytes"`
	Distinct   uint64 `json:"distinct"`   // by identity; 0 when not followed
	Duplicates uint64 `json:"duplicates"` // by identity
}

// sink is an OTLP backend that counts and keeps nothing.
type sink struct {
	ids  bool
	pool *grpcwire.MeteredPool
	mu   sync.Mutex // guards everything below
	s    Stats
	seen sample.Seen
}

func (k *sink) export(_ context.Context, sig otlp.Signal, recv func(*grpcwire.Frame) error) ([]byte, error) {
	f := grpcwire.Frame{Pool: k.pool}
	if err := recv(&f); err != nil {
		return nil, err
	}
	defer f.Free()
	b, release := f.Bytes(k.pool)
	defer release()
	if err := k.take(sig, b); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "%s of %d bytes: %v", sig, len(b), err)
	}
	return nil, nil
}

func (k *sink) take(sig otlp.Signal, b []byte) error {
	n, err := 0, error(nil)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ids {
		n, err = sample.ItemIDs(sig, b, func(id uint64) { k.seen.Add(id) })
	} else {
		n, err = sample.Count(sig, b)
	}
	if err != nil {
		return err
	}
	k.s.Requests++
	k.s.Items += uint64(n)
	k.s.Bytes += uint64(len(b))
	return nil
}

func (k *sink) stats() Stats {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.s
	s.Distinct, s.Duplicates = k.seen.Distinct(), k.seen.Duplicates()
	return s
}

func (k *sink) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(k.stats()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// Read asks a sink for its counters. addr is that of -stats.
func Read(ctx context.Context, addr string) (s Stats, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr, nil)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// Run is the command "bench sink". It serves until ctx ends.
func Run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("bench sink", flag.ContinueOnError)
	listen := f.String("listen", "", "address for OTLP/gRPC")
	stats := f.String("stats", "", "address for counters, as JSON over HTTP")
	ids := f.Bool("ids", false, "follow the identity of each item")
	if err := f.Parse(args); err != nil {
		return err
	}
	k := &sink{ids: *ids, pool: grpcwire.NewMeteredPool(0)}
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(grpcwire.Codec{}),
		grpc.MaxRecvMsgSize(64<<20),
		grpc.StaticStreamWindowSize(8<<20),
		grpc.StaticConnWindowSize(16<<20),
		grpc.ReadBufferSize(256<<10),
		experimental.BufferPool(k.pool),
	)
	for _, sig := range otlp.Signals {
		server.RegisterService(grpcwire.ServiceDesc(sig, k.export), nil)
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("listen for OTLP: %w", err)
	}
	h := &http.Server{Addr: *stats, Handler: k, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(l) }()
	go func() { failed <- h.ListenAndServe() }()
	waiting := 2
	select {
	case <-ctx.Done():
	case err = <-failed:
		waiting--
	}
	server.Stop()
	err = errors.Join(err, h.Close())
	for range waiting {
		if e := <-failed; !errors.Is(e, http.ErrServerClosed) && !errors.Is(e, grpc.ErrServerStopped) {
			err = errors.Join(err, e)
		}
	}
	return err
}
