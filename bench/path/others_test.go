package path

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
)

// othersEnv makes the test binary the clients and the backend.
const othersEnv = "PATH_TEST_OTHERS"

func TestMain(m *testing.M) {
	if os.Getenv(othersEnv) != "" {
		if err := serveOthers(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// others is the process of the clients and the backend.
type others struct {
	t    testing.TB
	in   io.Writer
	out  *bufio.Reader
	sink string // address of the backend
}

func startOthers(t testing.TB) *others {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), othersEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error("clients and backend:", err)
		}
	})
	o := &others{t: t, in: in, out: bufio.NewReader(out)}
	o.sink = o.ask("sink")
	return o
}

// ask gives a command and returns the answer, which comes when it is done.
func (o *others) ask(command string) string {
	o.t.Helper()
	if _, err := fmt.Fprintln(o.in, command); err != nil {
		o.t.Fatal(err)
	}
	line, err := o.out.ReadString('\n')
	answer, ok := strings.CutPrefix(strings.TrimSpace(line), "ok")
	if err != nil || !ok {
		o.t.Fatalf("%s: %q, %v", command, line, err)
	}
	return strings.TrimSpace(answer)
}

// send has that many requests sent, and returns when all of it has arrived.
func (o *others) send(sig otlp.Signal, items, requests int) {
	o.t.Helper()
	o.ask(fmt.Sprintf("send %s %d %d", sig, items, requests))
}

// serveOthers answers the commands sink, target and send until in ends.
func serveOthers(in io.Reader, out io.Writer) error {
	var arrived atomic.Int64
	sink, stop, err := backend(&arrived)
	if err != nil {
		return err
	}
	defer stop()
	var conn *grpc.ClientConn
	for lines := bufio.NewScanner(in); lines.Scan(); {
		command, rest, _ := strings.Cut(lines.Text(), " ")
		answer, err := "", error(nil)
		switch command {
		case "sink":
			answer = sink
		case "target":
			conn, err = grpc.NewClient(rest, grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithDefaultCallOptions(grpc.ForceCodecV2(grpcwire.Codec{})))
			defer conn.Close()
		case "send":
			var name string
			var items, requests int
			if _, err = fmt.Sscan(rest, &name, &items, &requests); err == nil {
				err = sendAll(conn, name, items, requests, &arrived)
			}
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(out, "ok", answer)
	}
	return nil
}

// backend counts what arrives.
func backend(items *atomic.Int64) (addr string, stop func(), err error) {
	pool := grpcwire.NewMeteredPool(0)
	server := grpc.NewServer(grpc.ForceServerCodecV2(grpcwire.Codec{}), grpc.MaxRecvMsgSize(64<<20), experimental.BufferPool(pool))
	for _, sig := range otlp.Signals {
		server.RegisterService(grpcwire.ServiceDesc(sig, func(_ context.Context, sig otlp.Signal, recv func(*grpcwire.Frame) error) ([]byte, error) {
			f := grpcwire.Frame{Pool: pool}
			if err := recv(&f); err != nil {
				return nil, err
			}
			defer f.Free()
			b, release := f.Bytes(pool)
			defer release()
			n, err := sample.Count(sig, b)
			items.Add(int64(n))
			return nil, err
		}), nil)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	return l.Addr().String(), func() {
		server.Stop()
		<-served
	}, nil
}

// sendAll has 32 clients send the same request, until all items have arrived.
func sendAll(conn *grpc.ClientConn, signal string, items, requests int, arrived *atomic.Int64) error {
	sig, err := otlp.ParseSignal(signal)
	if err != nil {
		return err
	}
	p, _, err := load(sig, items)
	if err != nil {
		return err
	}
	want := arrived.Load() + int64(items)*int64(requests)
	var left atomic.Int64
	left.Store(int64(requests))
	failed := make(chan error, 32)
	var clients sync.WaitGroup
	for range cap(failed) {
		clients.Go(func() {
			for left.Add(-1) >= 0 {
				var reply grpcwire.Frame
				if err := conn.Invoke(context.Background(), grpcwire.Method(sig), grpcwire.NewFrame(p), &reply); err != nil || reply.Len() != 0 {
					failed <- fmt.Errorf("export: %v, reply of %d bytes", err, reply.Len())
					return
				}
				reply.Free()
			}
		})
	}
	clients.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	for end := time.Now().Add(time.Minute); arrived.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%d items of %d arrived within a minute", arrived.Load(), want)
		}
	}
	return nil
}
