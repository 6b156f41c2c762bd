//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
)

// generated is what the generator says at its end.
type generated struct {
	AckedItems  uint64   `json:"acked_items"` // from the first request to the last
	Failed      uint64   `json:"failed_requests"`
	Errors      []string `json:"errors,omitempty"` // the first few
	WindowItems uint64   `json:"window_items"`     // acknowledged between mark and end
	P50         float64  `json:"latency_p50_ms"`   // of requests in the window
	P99         float64  `json:"latency_p99_ms"`
	Max         float64  `json:"latency_max_ms"`
}

// generator is a set of clients. Without a pace each sends its next request when
// the last was answered (closed loop). With one each has a schedule, and latency
// counts from when a request was due, so that one that waits for a slow answer
// before it is not left out (no coordinated omission).
type generator struct {
	pace     time.Duration // between the requests of one client; 0: closed loop
	tenant   string
	stubborn bool // it sends on, however often it is refused
	sig      otlp.Signal
	items    int
	seed     uint64
	inWindow atomic.Bool
	acked    atomic.Uint64
	window   atomic.Uint64
	mu       sync.Mutex // guards everything below
	failed   uint64
	errs     []string
	took     []time.Duration
}

// runGenerate sends until in ends or ctx does. The line "mark" on in begins the
// window, "end" ends it; the result is then written to out.
func runGenerate(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	f := flag.NewFlagSet("bench generate", flag.ContinueOnError)
	target := f.String("target", "", "address of the gateway")
	signal := f.String("signal", "traces", "what to send")
	g := &generator{}
	f.IntVar(&g.items, "items", 100, "items a request")
	f.Uint64Var(&g.seed, "seed", 1, "seed of the telemetry")
	connections := f.Int("connections", 4, "connections")
	clients := f.Int("clients", 32, "requests in flight")
	rate := f.Float64("rate", 0, "items a second; 0: as fast as answered")
	f.StringVar(&g.tenant, "tenant", "", "tenant to send as")
	f.BoolVar(&g.stubborn, "stubborn", false, "keep the rate although requests are refused")
	if err := f.Parse(args); err != nil {
		return err
	}
	var err error
	if g.sig, err = otlp.ParseSignal(*signal); err != nil {
		return err
	}
	if *rate > 0 {
		g.pace = time.Duration(float64(time.Second) * float64(*clients) * float64(g.items) / *rate)
	}
	var conns []*grpc.ClientConn
	for range *connections {
		c, err := grpc.NewClient(*target,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(grpcwire.Codec{})),
			grpc.WithStaticStreamWindowSize(1<<20),
			grpc.WithStaticConnWindowSize(4<<20),
			grpc.WithWriteBufferSize(128<<10),
		)
		if err != nil {
			return err
		}
		defer c.Close()
		conns = append(conns, c)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for i := range *clients {
		wg.Go(func() { g.client(ctx, uint32(i+1), conns[i%len(conns)]) })
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		switch lines.Text() {
		case "mark":
			g.inWindow.Store(true)
		case "end":
			g.inWindow.Store(false)
		}
	}
	stop()
	wg.Wait()
	return json.NewEncoder(out).Encode(g.result())
}

// client sends until ctx ends. A request under way then is waited for, so that
// what was acknowledged is known.
func (g *generator) client(ctx context.Context, source uint32, conn *grpc.ClientConn) {
	gen := sample.New(g.seed, sample.Shape{Source: source})
	method := grpcwire.Method(g.sig)
	free := make(chan []byte, 1)
	due := time.Now().Add(time.Duration(rand.Int64N(int64(g.pace) + 1))) // not all at once
	for ctx.Err() == nil {
		var buf []byte
		select {
		case buf = <-free:
		default: // of a call that was refused before it was sent gRPC may keep the buffer
		}
		buf = gen.Append(buf[:0], g.sig, g.items, time.Now())
		req := grpcwire.NewFrameRelease(buf, func() {
			select {
			case free <- buf:
			default:
			}
		})
		start := time.Now()
		if g.pace > 0 {
			if wait(ctx, time.Until(due)) != nil {
				req.Free()
				return
			}
			start = due
			due = due.Add(g.pace)
		}
		err := g.send(method, conn, req)
		took := time.Since(start)
		if err != nil {
			g.fail(err)
			if !g.stubborn {
				time.Sleep(50 * time.Millisecond) // a refused client does not hammer
			}
			continue
		}
		g.acked.Add(uint64(g.items))
		if g.inWindow.Load() {
			g.window.Add(uint64(g.items))
			g.mu.Lock()
			g.took = append(g.took, took)
			g.mu.Unlock()
		}
	}
}

func (g *generator) send(method string, conn *grpc.ClientConn, req *grpcwire.Frame) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	defer req.Free()
	if g.tenant != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-scope-orgid", g.tenant)
	}
	var reply grpcwire.Frame
	defer reply.Free()
	if err := conn.Invoke(ctx, method, req, &reply); err != nil {
		return err
	}
	if reply.Len() != 0 {
		return fmt.Errorf("partial success of %d bytes", reply.Len())
	}
	return nil
}

func (g *generator) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failed++
	if len(g.errs) < 5 {
		g.errs = append(g.errs, err.Error())
	}
}

func (g *generator) result() generated {
	slices.Sort(g.took)
	at := func(q float64) float64 {
		if len(g.took) == 0 {
			return 0
		}
		return float64(g.took[min(int(q*float64(len(g.took))), len(g.took)-1)]) / float64(time.Millisecond)
	}
	return generated{
		AckedItems: g.acked.Load(), Failed: g.failed, Errors: g.errs, WindowItems: g.window.Load(),
		P50: at(0.5), P99: at(0.99), Max: at(1),
	}
}

// finish ends the generator and reads its result.
func finish(c *child) (generated, error) {
	var g generated
	closed := c.in.Close()
	b, err := io.ReadAll(c.out)
	c.wait()
	if err = errors.Join(err, closed, c.err); err != nil {
		return g, fmt.Errorf("generator: %w\n%s", err, c.tail())
	}
	if err := json.Unmarshal(b, &g); err != nil {
		return g, fmt.Errorf("generator's result %q: %w", b, err)
	}
	return g, nil
}
