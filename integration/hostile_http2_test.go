package integration

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"
)

// http2Hello is the preface of a client and its empty SETTINGS (RFC 9113, 3.4).
const http2Hello = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// Frames and flags, RFC 9113, 6.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameContinuation = 0x9
	endStream         = 0x1
	endHeaders        = 0x4
)

func h2Frame(kind, flags byte, stream uint32, payload []byte) []byte {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

// fields is a header block, without use of the dynamic table between blocks.
func fields(t *testing.T, pairs ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSize(0)
	for i := 0; i < len(pairs); i += 2 {
		if err := e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

const tracesMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// grpcHeaders opens a call on a stream.
func grpcHeaders(t *testing.T, stream uint32) []byte {
	t.Helper()
	return h2Frame(frameHeaders, endHeaders, stream, fields(t, ":method", "POST", ":scheme", "http", ":path", tracesMethod, ":authority", "x", "content-type", "application/grpc", "te", "trailers"))
}

// httpHeaders opens a request on a stream.
func httpHeaders(t *testing.T, stream uint32) []byte {
	t.Helper()
	return h2Frame(frameHeaders, endHeaders, stream, fields(t, ":method", "POST", ":scheme", "http", ":path", "/v1/traces", ":authority", "x", "content-type", "application/x-protobuf"))
}

// flood writes what next makes until the far end closes, n are written, or 20 s
// have passed; it reads and drops the answers, or with deaf does not.
func flood(t *testing.T, addr string, n int, deaf bool, next func(i int) []byte) (sent int, closed bool) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return 0, true
	}
	defer c.Close()
	if !deaf {
		go func() { _, _ = io.Copy(io.Discard, c) }()
	}
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(c, http2Hello); err != nil {
		return 0, true
	}
	var b []byte
	for i := range n {
		if b = append(b, next(i)...); len(b) > 16<<10 || i == n-1 {
			pace(t, len(b))
			if _, err := c.Write(b); err != nil {
				return i, true
			}
			b = b[:0]
		}
	}
	return n, false
}

// TestHostileHTTP2 floods both listeners with what HTTP/2 allows too much of.
func TestHostileHTTP2(t *testing.T) {
	id := func(i int) uint32 { return uint32(2*i + 1) }
	cancel := []byte{0, 0, 0, 8}
	var onePing = h2Frame(framePing, 0, 0, make([]byte, 8))
	setting := h2Frame(frameSettings, 0, 0, []byte{0, 3, 0, 0, 0, 100})
	// A value of 4 KiB in the table, and then named by one byte, over and over.
	var huge bytes.Buffer
	e := hpack.NewEncoder(&huge)
	if err := e.WriteField(hpack.HeaderField{Name: "a", Value: string(bytes.Repeat([]byte("b"), 4000))}); err != nil {
		t.Fatal(err)
	}
	bombBlock := append(bytes.Clone(huge.Bytes()), bytes.Repeat([]byte{0x80 | 62}, 8000)...)
	for name, attack := range map[string]struct {
		n      int
		deaf   bool
		closes bool // the gRPC listener ends the connection
		next   func(headers func(*testing.T, uint32) []byte) func(i int) []byte
	}{
		"rapid reset (CVE-2023-44487)": {50_000, false, true, func(headers func(*testing.T, uint32) []byte) func(i int) []byte {
			return func(i int) []byte { return append(headers(t, id(i)), h2Frame(frameReset, 0, id(i), cancel)...) }
		}},
		"CONTINUATION flood (CVE-2023-45288)": {200_000, false, false, func(func(*testing.T, uint32) []byte) func(i int) []byte {
			return func(i int) []byte {
				if i == 0 {
					return h2Frame(frameHeaders, 0, 1, fields(t, ":method", "POST"))
				}
				return h2Frame(frameContinuation, 0, 1, fields(t, fmt.Sprintf("x-%d", i), "y"))
			}
		}},
		"empty CONTINUATION": {200_000, false, false, func(func(*testing.T, uint32) []byte) func(i int) []byte {
			return func(i int) []byte {
				if i == 0 {
					return h2Frame(frameHeaders, 0, 1, fields(t, ":method", "POST"))
				}
				return h2Frame(frameContinuation, 0, 1, nil)
			}
		}},
		"PING, no answer read": {200_000, true, false, func(func(*testing.T, uint32) []byte) func(i int) []byte {
			return func(int) []byte { return onePing }
		}},
		"SETTINGS, no answer read": {200_000, true, false, func(func(*testing.T, uint32) []byte) func(i int) []byte {
			return func(int) []byte { return setting }
		}},
		"HPACK bomb": {200, false, false, func(func(*testing.T, uint32) []byte) func(i int) []byte {
			return func(i int) []byte { return h2Frame(frameHeaders, endHeaders|endStream, id(i), bombBlock) }
		}},
		"empty DATA": {200_000, false, false, func(headers func(*testing.T, uint32) []byte) func(i int) []byte {
			return func(i int) []byte {
				if i == 0 {
					return headers(t, 1)
				}
				return h2Frame(frameData, 0, 1, nil)
			}
		}},
		"streams that never end": {30_000, false, false, func(headers func(*testing.T, uint32) []byte) func(i int) []byte {
			return func(i int) []byte {
				return append(headers(t, id(i)), h2Frame(frameData, 0, id(i), []byte{0, 0, 0, 1, 0, 7})...)
			}
		}},
		"DATA beyond the windows": {2_000, false, false, func(headers func(*testing.T, uint32) []byte) func(i int) []byte {
			return func(i int) []byte {
				if i == 0 {
					return append(headers(t, 1), h2Frame(frameData, 0, 1, []byte{0, 3, 0xff, 0xff, 0xff})...)
				}
				return h2Frame(frameData, 0, 1, make([]byte, 16<<10))
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			rss := int64(hostileRSS)
			if name == "DATA beyond the windows" {
				rss = halvesRSS
			}
			underAttackWithin(t, rss, func(t *testing.T, v victim) {
				four(func() {
					for _, to := range []struct {
						addr    string
						headers func(*testing.T, uint32) []byte
					}{{v.GRPCAddr, grpcHeaders}, {v.HTTPAddr, httpHeaders}} {
						sent, closed := flood(t, to.addr, attack.n, attack.deaf, attack.next(to.headers))
						if attack.closes && to.addr == v.GRPCAddr && !closed {
							t.Errorf("%d frames were taken, and the connection is open", sent)
						}
					}
				})
			})
		})
	}
}
