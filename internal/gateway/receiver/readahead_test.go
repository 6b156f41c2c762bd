package receiver

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"
)

// pair is a connection, and its far end as readAheads accept it.
func pair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := readAheads{inner}
	defer l.Close()
	near, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = near.Close() // most tests have closed one of them
		_ = far.Close()
	})
	return near, far
}

func TestReadAheadKeepsEveryByte(t *testing.T) {
	near, far := pair(t)
	r := rand.New(rand.NewPCG(1, 2))
	sent := make([]byte, 3<<20)
	for i := range sent {
		sent[i] = byte(r.Uint32())
	}
	done := make(chan error, 1)
	go func() {
		for rest := sent; len(rest) > 0; {
			n := min(1+r.IntN(100_000), len(rest))
			if _, err := near.Write(rest[:n]); err != nil {
				done <- err
				return
			}
			rest = rest[n:]
		}
		done <- near.Close()
	}()
	var got bytes.Buffer
	sizes := rand.New(rand.NewPCG(3, 4))
	for {
		p := make([]byte, 1+sizes.IntN(2*readAhead))
		n, err := far.Read(p)
		got.Write(p[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), sent) {
		t.Errorf("%d bytes arrived, others than the %d that were sent", got.Len(), len(sent))
	}
}

// A connection has a buffer only while something in it is not taken.
func TestReadAheadHoldsNothingWhileItWaits(t *testing.T) {
	near, far := pair(t)
	c := far.(*readAheadConn)
	if _, err := near.Write([]byte("12345")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(far, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	if c.buffer == nil || string(c.rest) != "45" {
		t.Errorf("left is %q", c.rest)
	}
	if _, err := io.ReadFull(far, make([]byte, 2)); err != nil || c.buffer != nil {
		t.Errorf("a buffer is held with nothing in it: %v", err)
	}
	if err := far.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || c.buffer != nil {
		t.Errorf("after a deadline: %v", err)
	}
}

func TestReadAheadEnds(t *testing.T) {
	_, far := pair(t)
	failed := make(chan error, 1)
	go func() {
		_, err := far.Read(make([]byte, 1))
		failed <- err
	}()
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed while it waits: %v", err)
	}
	near, far := pair(t)
	if err := near.(*net.TCPConn).SetLinger(0); err != nil { // closing resets
		t.Fatal(err)
	}
	if err := near.Close(); err != nil {
		t.Fatal(err)
	}
	var op *net.OpError
	if _, err := far.Read(make([]byte, 1)); !errors.As(err, &op) {
		t.Errorf("reset: %v", err)
	}
	server, client := net.Pipe()
	defer client.Close()
	defer server.Close()
	if newReadAhead(server) != server {
		t.Error("what is no socket is read ahead")
	}
}
