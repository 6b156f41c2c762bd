package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// floorEnv, if 1, has attacks go to a server that throws away what it reads, beside the
// gateway of the others: what these feel then is the machine's, and the least that can
// be felt.
const floorEnv = "PENSTOCK_TEST_FLOOR"

// throwerEnv tells this program to be that server.
const throwerEnv = "PENSTOCK_TEST_THROWER"

// thrower reads bodies over HTTP/1.1 and HTTP/2 and refuses each as too large. It says
// where to out, and ends with in.
func thrower(in io.Reader, out io.Writer) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return // its client is gone
		}
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			w.Header().Set("Grpc-Status", "8")
			return
		}
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	})}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	fmt.Fprintln(out, l.Addr())
	if _, err := io.Copy(io.Discard, in); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := <-ended; err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// startThrower starts one in a process of its own.
func startThrower(t *testing.T) (grpcAddr, httpAddr string) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), throwerEnv+"=1")
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("the server that throws away: %v", err)
		}
	})
	var addr string
	if _, err := fmt.Fscanln(out, &addr); err != nil {
		t.Fatal(err)
	}
	return addr, addr
}
