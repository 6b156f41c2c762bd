package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// knock opens a connection; it closes with the test.
func knock(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // the gateway may have closed it
	return c
}

// TestHostileIdle: connections that say nothing, and such that have said hello.
func TestHostileIdle(t *testing.T) {
	const each = 2500 // on each listener
	manyFiles(t, 20_000)
	for name, hello := range map[string][2]string{
		"silent":      {"", ""},
		"after hello": {http2Hello, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"},
	} {
		t.Run(name, func(t *testing.T) {
			underAttack(t, func(t *testing.T, v victim) {
				for i, addr := range []string{v.GRPCAddr, v.HTTPAddr} {
					for range each {
						c := knock(t, addr)
						if _, err := io.WriteString(c, hello[i]); err != nil {
							t.Fatal(err)
						}
					}
				}
				time.Sleep(attackFor(t)) // what they cost at first
				v.arrived()
				time.Sleep(max(5*time.Second, attackFor(t))) // the others go on
				if n := v.Usage().OpenFiles; n < 2*each {
					t.Errorf("%d files are open: connections were not kept", n)
				}
			})
		})
	}
}

// TestHostileSlow: a byte a second, wherever one can stand for ever. Each way is
// kept up by 50 connections for longer than the bounds that the test sets, and
// all of them must have been ended by the gateway.
func TestHostileSlow(t *testing.T) {
	for _, kv := range [][2]string{{"HTTP_HEADER_TIMEOUT", "4s"}, {"HTTP_READ_TIMEOUT", "4s"}, {"HTTP_IDLE_TIMEOUT", "4s"}, {"GRPC_READ_TIMEOUT", "4s"}, {"GRPC_MAX_CONNECTION_IDLE", "4s"}} {
		t.Setenv("PENSTOCK_GATEWAY_"+kv[0], kv[1])
	}
	long := strings.Repeat("x", 4000)
	post := "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
	message := append([]byte(http2Hello), grpcHeaders(t, 1)...)
	ways := map[string]struct {
		overGRPC    bool
		at, trickle string // what is sent at once, and then a byte a second
	}{
		"HTTP header":                 {false, "POST /v1/traces HTTP/1.1\r\nX-Long: ", long},
		"HTTP body":                   {false, post + "Content-Length: 4000\r\n\r\n", long},
		"HTTP chunks":                 {false, post + "Transfer-Encoding: chunked\r\n\r\n", "3e8\r\n" + long},
		"HTTP/2 preface":              {false, "", http2Hello + long},
		"HTTP/2 header":               {false, http2Hello, string(h2Frame(0x1, 0x0, 1, bytes.Repeat([]byte{0}, 4000)))},
		"TLS ClientHello":             {false, "\x16\x03\x01", "\x02\x00" + long},
		"gRPC preface":                {true, "", http2Hello + long},
		"gRPC frame of headers":       {true, http2Hello, string(h2Frame(0x1, 0x0, 1, bytes.Repeat([]byte{0}, 4000)))},
		"gRPC message":                {true, string(message), string(h2Frame(0x0, 0x0, 1, append([]byte{0, 0, 0, 15, 0}, long...)))},
		"gRPC message, frame by byte": {true, string(message), ""},
	}
	underAttack(t, func(t *testing.T, v victim) {
		var wg sync.WaitGroup
		for name, w := range ways {
			addr := v.HTTPAddr
			if w.overGRPC {
				addr = v.GRPCAddr
			}
			for range 50 {
				c := knock(t, addr)
				if _, err := io.WriteString(c, w.at); err != nil {
					t.Fatal(err)
				}
				wg.Go(func() {
					if !trickled(c, w.trickle) {
						t.Errorf("%s: a connection lives on after 60 s", name)
					}
				})
			}
		}
		wg.Wait()
	})
}

// trickled sends a byte a second and tells whether the far end closed the
// connection, or ended the stream that was on it, within 60 s.
func trickled(c net.Conn, bytes string) bool {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r := bufio.NewReader(c)
		for {
			if _, err := r.ReadByte(); err != nil {
				return
			}
		}
	}()
	next := func(i int) []byte {
		if bytes == "" { // a frame of one byte
			return h2Frame(0x0, 0x0, 1, []byte{0})
		}
		return []byte{bytes[i%len(bytes)]}
	}
	for i := range 60 {
		if _, err := c.Write(next(i)); err != nil {
			return true
		}
		select {
		case <-ended:
			return true
		case <-time.After(time.Second):
		}
	}
	return false
}

// TestHostileHalf: bodies that stop half way, and clients that leave, over and
// over, over both transports.
func TestHostileHalf(t *testing.T) {
	underAttack(t, func(t *testing.T, v victim) {
		four(func() {
			for i := range 200 {
				for _, at := range []struct{ addr, text string }{
					{v.HTTPAddr, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 67108864\r\n\r\n" + strings.Repeat("x", 50_000)},
					{v.HTTPAddr, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" + strings.Repeat("x", 50_000)},
					{v.GRPCAddr, http2Hello + string(grpcHeaders(t, 1)) + string(h2Frame(0, 0, 1, append([]byte{0, 0x03, 0xff, 0xff, 0xff}, make([]byte, 16000)...)))},
				} {
					c, err := net.Dial("tcp", at.addr)
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := io.WriteString(c, at.text); err != nil {
						t.Error(err)
					}
					if i%2 == 0 {
						_ = c.(*net.TCPConn).SetLinger(0) // half of them with a reset
					}
					if err := c.Close(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	})
}

// TestHostileSmuggling: what two servers in a row could read as different
// requests is refused, and nothing behind it is a request. A length beside a
// coding is the exception: the coding alone counts (RFC 9112, 6.3), so that what
// follows the last chunk is the next request, whatever the length says.
func TestHostileSmuggling(t *testing.T) {
	const second = "POST /v1/smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
	head := "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	shapes := map[string]string{
		"length and chunked":            head + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second,
		"chunked and length":            head + "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + second,
		"two lengths":                   head + "Content-Length: 2\r\nContent-Length: 60\r\n\r\n{}" + second,
		"list of lengths":               head + "Content-Length: 2, 60\r\n\r\n{}" + second,
		"signed length":                 head + "Content-Length: +2\r\n\r\n{}" + second,
		"hexadecimal length":            head + "Content-Length: 0x2\r\n\r\n{}" + second,
		"negative length":               head + "Content-Length: -1\r\n\r\n{}" + second,
		"coding that is none":           head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + second,
		"two codings":                   head + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + second,
		"coding twice":                  head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second,
		"space before the colon":        head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + second,
		"folded coding":                 head + "Transfer-Encoding:\r\n chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + second,
		"vertical tab before a coding":  head + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n" + second,
		"chunk size that overflows":     head + "Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n" + second,
		"chunk size with a sign":        head + "Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n" + second,
		"chunk longer than it says":     head + "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n" + second,
		"HTTP/1.0 with a coding":        strings.Replace(head, "1.1", "1.0", 1) + "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n" + second,
		"NUL in a name":                 head + "Content-Length\x00: 2\r\n\r\n{}" + second,
		"line feed within a value":      head + "X-A: b\nContent-Length: 60\r\nContent-Length: 2\r\n\r\n{}" + second,
		"carriage return in a value":    head + "X-A: b\rContent-Length: 60\r\nContent-Length: 2\r\n\r\n{}" + second,
		"no host":                       "POST /v1/traces HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" + second,
		"two hosts":                     head + "Host: y\r\nContent-Length: 2\r\n\r\n{}" + second,
		"upgrade to HTTP/2 with a body": head + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + second,
	}
	coded := map[string]bool{"length and chunked": true, "chunked and length": true, "folded coding": true, "upgrade to HTTP/2 with a body": true}
	underAttack(t, func(t *testing.T, v victim) {
		for name, text := range shapes {
			c := knock(t, v.HTTPAddr)
			if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
			_ = c.(*net.TCPConn).CloseWrite() // no more comes
			r := bufio.NewReader(c)
			var codes []int
			for {
				resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
				if err != nil {
					break // closed
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					break
				}
				codes = append(codes, resp.StatusCode)
			}
			if len(codes) == 0 || codes[0] < 400 {
				t.Errorf("%s: answered %v, want a refusal", name, codes)
			}
			if slices.Contains(codes, 404) != coded[name] { // what the second is answered with
				t.Errorf("%s: answered %v; the bytes behind are a request: want %v", name, codes, coded[name])
			}
		}
		if n := v.Scrape().Sum("penstock_receiver_requests_total", "signal", "none"); int(n) != len(coded) {
			t.Errorf("%v requests behind others were taken for requests, want %d", n, len(coded))
		}
	})
}

// TestHostileHeaders: 100,000 fields, and one that is huge.
func TestHostileHeaders(t *testing.T) {
	var many strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&many, "x-%d: y\r\n", i)
	}
	head := "POST /v1/traces HTTP/1.1\r\nHost: x\r\n"
	underAttack(t, func(t *testing.T, v victim) {
		four(func() {
			for range 20 {
				for _, text := range []string{head + many.String() + "\r\n", head + "X-Long: " + strings.Repeat("y", 8<<20) + "\r\n\r\n", strings.Repeat("P", 8<<20), "POST /" + strings.Repeat("a", 8<<20) + " HTTP/1.1\r\n\r\n"} {
					c := knock(t, v.HTTPAddr)
					wrote := make(chan struct{})
					go func() {
						defer close(wrote)
						_, _ = io.WriteString(c, text) // it is closed in between
					}()
					if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
						t.Error(err)
					}
					resp, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err == nil && resp.StatusCode != 431 && resp.StatusCode != 400 {
						t.Errorf("%.30q… is answered with %s", text, resp.Status)
					}
					if e, ok := err.(net.Error); ok && e.Timeout() {
						t.Errorf("%.30q… is not answered within 30 s", text)
					}
					_ = c.Close()
					<-wrote
				}
			}
		})
	})
}
