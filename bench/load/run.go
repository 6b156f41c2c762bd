package load

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/sample"
)

// Connected is what a generator with idle connections says first.
const Connected = "connected\n"

type generator struct {
	Options
	parsed
	pace     time.Duration // between the requests of one client; 0: closed loop
	inWindow atomic.Bool
	acked    atomic.Uint64 // requests
	window   atomic.Uint64 // of them in the window
	unsent   atomic.Uint64 // requests
	fails    failures
	took     *recorder
}

// Run is the command "bench generate": it sends until in ends or ctx does. The
// line "mark" on in begins the window, "end" ends it; the result is then written
// to out. With idle connections the line "connected" is written before, when all
// of them stand.
func Run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	o := Default()
	f := flag.NewFlagSet("bench generate", flag.ContinueOnError)
	f.SetOutput(io.Discard) // the error says what is wrong
	o.Flags(f)
	if err := f.Parse(args); err != nil {
		return err
	}
	g := &generator{Options: o, took: newRecorder(o.Clients)}
	var err error
	if g.parsed, err = o.parse(); err != nil {
		return err
	}
	if o.Rate > 0 {
		g.pace = time.Duration(float64(time.Second) * float64(o.Clients) * float64(o.Items) / o.Rate)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	senders, err := g.senders(ctx)
	defer func() {
		for _, s := range senders {
			s.close()
		}
	}()
	if err != nil {
		return err
	}
	idle, err := g.idle(ctx)
	defer func() {
		for _, s := range idle {
			s.close()
		}
	}()
	if err != nil {
		return err
	}
	if o.Idle > 0 {
		if _, err := io.WriteString(out, Connected); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	for i := range o.Clients {
		wg.Go(func() { g.client(ctx, i, senders[i%len(senders)]) })
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
	return g.result().encode(out)
}

func (g *generator) result() Result {
	items := uint64(g.Items)
	return Result{
		AckedRequests: g.acked.Load(), AckedItems: g.acked.Load() * items, WindowItems: g.window.Load() * items,
		Unsent: g.unsent.Load() * items, Failed: g.fails.n, Errors: g.fails.errs, Latency: g.took.latency(),
	}
}

// senders are one a connection. What was made before an error is given with it.
func (g *generator) senders(ctx context.Context) (out []sender, err error) {
	if g.Transport == "http" {
		s, err := newHTTP(g.Options, g.sig)
		if err != nil {
			return nil, err
		}
		return []sender{s}, nil
	}
	for range g.Connections {
		s, err := newGRPC(g.Options, g.sig)
		if err != nil {
			return out, err
		}
		out = append(out, s)
	}
	return out, nil
}

// idle opens the connections that nothing is sent on.
func (g *generator) idle(ctx context.Context) (out []sender, err error) {
	ctx, cancel := context.WithTimeout(ctx, g.Timeout)
	defer cancel()
	for range g.Idle {
		s, err := newGRPC(g.Options, g.sig)
		if err != nil {
			return out, err
		}
		out = append(out, s)
		if err := s.connect(ctx); err != nil {
			return out, fmt.Errorf("idle connection %d of %d to %s: %w", len(out), g.Idle, g.Target, err)
		}
	}
	return out, nil
}

// client sends until ctx ends. A request under way then is waited for, so that
// what was acknowledged is known.
func (g *generator) client(ctx context.Context, n int, to sender) {
	gen := sample.New(g.Seed, sample.Shape{Source: uint32(g.Source + n), Story: g.story})
	tenant := g.Tenant
	if g.Tenants > 0 {
		tenant = fmt.Sprintf("%s-%d", g.Tenant, n%g.Tenants)
	}
	free := make(chan []byte, 1)
	due := time.Now().Add(time.Duration(rand.Int64N(int64(g.pace) + 1))) // not all at once
	for ctx.Err() == nil {
		var buf []byte
		select {
		case buf = <-free:
		default: // of a call that was refused before it was sent gRPC may keep the buffer
		}
		buf = gen.Append(buf[:0], g.sig, g.Items, time.Now())
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
				break
			}
			start = due
			due = due.Add(g.pace)
		}
		err := g.send(to, req, tenant)
		took := time.Since(start)
		if err != nil {
			g.fails.add(err)
			if !g.Stubborn {
				time.Sleep(50 * time.Millisecond) // a refused client does not hammer
			}
			continue
		}
		g.acked.Add(1)
		if g.inWindow.Load() {
			g.window.Add(1)
			g.took.record(n, took)
		}
	}
	if late := time.Since(due); g.pace > 0 && late > 0 {
		g.unsent.Add(uint64(late/g.pace) + 1)
	}
}

func (g *generator) send(to sender, req *grpcwire.Frame, tenant string) error {
	ctx, cancel := context.WithTimeout(context.Background(), g.Timeout)
	defer cancel()
	return to.send(ctx, req, tenant)
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
