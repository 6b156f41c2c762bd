package integration

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
)

// bomb is a body of which little is sent and much would become.
type bomb struct {
	name, encoding string
	body           []byte
	rounds         int // for each of four clients
}

const tenGiB = 10 << 30

// bombs in every encoding, by long runs with valid headers, and by headers that
// promise.
func bombs(t *testing.T) []bomb {
	t.Helper()
	var out []bomb
	add := func(name, encoding string, body []byte) {
		rounds := 20
		if len(body) > 2<<10 { // a suspect's takes seconds, most of them of rest
			rounds = 2
		}
		out = append(out, bomb{name, encoding, body, rounds})
	}
	// gzip and deflate: at most 1032 times, so that 10 GiB are 10 MB.
	member := packed(t, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }, 1<<20)
	add("gzip, 10 GiB in members", "gzip", bytes.Repeat(member, tenGiB>>20))
	head := member[:10]
	add("gzip, 10 GiB in one stream", "gzip", append(append(bytes.Clone(head), zeros(t, tenGiB>>20)...), make([]byte, 8)...))
	add("gzip, declares 4 GiB", "gzip", append(bytes.Clone(member[:len(member)-4]), 255, 255, 255, 255))
	add("deflate, 10 GiB", "deflate", zeros(t, tenGiB>>20))
	// brotli: meta-blocks of 16 MiB in a few bytes.
	add("brotli, 10 GiB", "br", brotliZeros(t, tenGiB>>24))
	// zstd: 128 KiB in 4 bytes, or in a compressed block of some more.
	add("zstd, 10 GiB in runs", "zstd", zstdRuns(0x00, nil, tenGiB>>17))
	add("zstd, 10 GiB declared, 32 MiB in 1 KiB", "zstd", zstdRuns(0xc0, binary.LittleEndian.AppendUint64(nil, tenGiB), 256))
	add("zstd, 2^62 declared", "zstd", zstdRuns(0xc0, binary.LittleEndian.AppendUint64(nil, 1<<62), 256))
	add("zstd, 10 GiB in compressed blocks", "zstd", zstdBlocks(t, tenGiB>>17))
	add("zstd, window of 3.75 TiB", "zstd", append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff}, zstdRuns(0, nil, 256)[6:]...))
	// snappy declares; a block is at most 22 times its bytes.
	add("snappy, declares 4 GiB", "snappy", append(binary.AppendUvarint(nil, 1<<32-1), make([]byte, 1<<10)...))
	add("snappy, 256 MiB in chunks", "snappy", snappyChunks(4096))
	add("framed snappy, 256 MiB in chunks", "x-snappy-framed", snappyChunks(4096))
	return out
}

func packed(t *testing.T, writer func(io.Writer) io.WriteCloser, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := writer(&b)
	if _, err := w.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// zeros is a raw deflate stream of n MiB: the flushed block of one, repeated.
func zeros(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first has no window behind it
		b.Reset()
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	block := bytes.Clone(b.Bytes())
	out := bytes.Repeat(block, n)
	return append(out, 0x03, 0x00) // an empty last block
}

// brotliZeros is n times 16 MiB of zeros.
func brotliZeros(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := brotli.NewWriterOptions(&b, brotli.WriterOptions{Quality: 5, LGWin: 24})
	var pieces [][]byte
	for range 3 {
		if _, err := w.Write(make([]byte, 16<<20)); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		pieces = append(pieces, bytes.Clone(b.Bytes()))
		b.Reset()
	}
	make1 := func(n int) []byte {
		return append(append(bytes.Clone(pieces[0]), bytes.Repeat(pieces[2], n-1)...), 0x03)
	}
	got, err := io.Copy(io.Discard, brotli.NewReader(bytes.NewReader(make1(4))))
	if err != nil || got != 64<<20 {
		t.Fatalf("the bomb is none: %d bytes, %v", got, err)
	}
	return make1(n)
}

// zstdRuns is a frame with a descriptor, what follows it, and n blocks of one
// repeated byte, 128 KiB each.
func zstdRuns(descriptor byte, more []byte, n int) []byte {
	b := append([]byte{0x28, 0xb5, 0x2f, 0xfd, descriptor}, 0x58) // window: 2 MiB
	b = append(b, more...)
	for i := range n {
		header := uint32(128<<10)<<3 | 1<<1
		if i == n-1 {
			header |= 1
		}
		b = append(b, byte(header), byte(header>>8), byte(header>>16), 0)
	}
	return b
}

// zstdBlocks is a frame of compressed blocks, without a declared size.
func zstdBlocks(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithEncoderCRC(false))
	if err != nil {
		t.Fatal(err)
	}
	line := bytes.Repeat([]byte("0123456789abcdef"), 128<<10/16) // no run of one byte
	var pieces [][]byte
	for range 4 {
		if _, err := w.Write(line); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		pieces = append(pieces, bytes.Clone(b.Bytes()))
		b.Reset()
	}
	make1 := func(n int) []byte {
		return append(append(bytes.Clone(pieces[0]), bytes.Repeat(pieces[3], n-1)...), 0x01, 0x00, 0x00) // an empty last block
	}
	r, err := zstd.NewReader(bytes.NewReader(make1(8)), zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.Copy(io.Discard, r); err != nil || got != 1<<20 {
		t.Fatalf("the bomb is none: %d bytes, %v", got, err)
	}
	return make1(n)
}

// snappyChunks is a framed stream of n chunks of 64 KiB of zeros each.
func snappyChunks(n int) []byte {
	block := binary.AppendUvarint(nil, 64<<10)
	block = append(block, 0, 0) // one literal 0
	for done := 1; done < 64<<10; {
		l := min(64, 64<<10-done)
		block = append(block, byte(l-1)<<2|2, 1, 0) // copy of l bytes from 1 back
		done += l
	}
	body := append(make([]byte, 4), block...) // a checksum that nobody gets to
	chunk := append([]byte{0, byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16)}, body...)
	return append([]byte("\xff\x06\x00\x00sNaPpY"), bytes.Repeat(chunk, n)...)
}

// answer is what became of a request: the HTTP status, and for gRPC its code.
type answer struct {
	http int
	grpc string
	text string
}

// hurl posts a body over HTTP/1.1.
func (v victim) hurl(t *testing.T, c *http.Client, contentType, encoding string, body []byte) answer {
	t.Helper()
	pace(t, len(body))
	r, err := http.NewRequest(http.MethodPost, "http://"+v.HTTPAddr+"/v1/traces", bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return answer{}
	}
	r.Header.Set("Content-Type", contentType)
	if encoding != "" {
		r.Header.Set("Content-Encoding", encoding)
	}
	return ask(t, c, r)
}

// hurlRPC sends a message in its frame over HTTP/2, as gRPC.
func (v victim) hurlRPC(t *testing.T, c *http.Client, encoding string, message []byte) answer {
	t.Helper()
	pace(t, len(message))
	head := []byte{0, 0, 0, 0, 0}
	if encoding != "" {
		head[0] = 1
	}
	binary.BigEndian.PutUint32(head[1:], uint32(len(message)))
	r, err := http.NewRequest(http.MethodPost, "http://"+v.GRPCAddr+"/opentelemetry.proto.collector.trace.v1.TraceService/Export", bytes.NewReader(append(head, message...)))
	if err != nil {
		t.Error(err)
		return answer{}
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	if encoding != "" {
		r.Header.Set("Grpc-Encoding", encoding)
	}
	return ask(t, c, r)
}

func ask(t *testing.T, c *http.Client, r *http.Request) answer {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Errorf("%s: no answer: %v", r.URL.Path, err)
		return answer{}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s: half an answer: %v", r.URL.Path, err)
	}
	status := resp.Header.Get("Grpc-Status")
	if status == "" {
		status = resp.Trailer.Get("Grpc-Status")
	}
	return answer{resp.StatusCode, status, strings.ToValidUTF8(string(b), "?") + resp.Header.Get("Grpc-Message") + resp.Trailer.Get("Grpc-Message")}
}

// web is a client of its own, of HTTP/1.1 or unencrypted HTTP/2.
func web(t *testing.T, h2 bool) *http.Client {
	t.Helper()
	tr := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	if h2 {
		tr.Protocols.SetUnencryptedHTTP2(true)
	} else {
		tr.Protocols.SetHTTP1(true)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 60 * time.Second}
}

// four clients at a time do the same.
func four(f func()) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(f)
	}
	wg.Wait()
}

func TestHostileBombs(t *testing.T) {
	for _, b := range bombs(t) {
		t.Run("HTTP "+b.name, func(t *testing.T) {
			underAttack(t, func(t *testing.T, v victim) {
				four(func() {
					c := web(t, false)
					for range b.rounds {
						if a := v.hurl(t, c, "application/x-protobuf", b.encoding, b.body); a.http != 413 && a.http != 400 && a.http != 503 {
							t.Errorf("%d bytes are answered with %+v", len(b.body), a)
						}
					}
				})
			})
		})
		encoding := strings.TrimPrefix(strings.TrimSuffix(b.encoding, "-framed"), "x-")
		if encoding == "br" || encoding == "deflate" {
			continue // no encodings of gRPC here
		}
		t.Run("gRPC "+b.name, func(t *testing.T) {
			underAttack(t, func(t *testing.T, v victim) {
				four(func() {
					c := web(t, true)
					for range b.rounds {
						if a := v.hurlRPC(t, c, encoding, b.body); a.grpc != "8" && a.grpc != "3" && a.grpc != "14" {
							t.Errorf("%d bytes are answered with %+v", len(b.body), a)
						}
					}
				})
			})
		})
	}
}

// field is a length-delimited field of protobuf.
func field(num protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), b)
}

// nested is a request whose one attribute is values in values, depth times:
// lists of keys and values, or arrays.
func nested(depth int, kvlist bool) []byte {
	value := field(1, []byte("x"))
	for range depth {
		if kvlist {
			value = field(6, field(1, append(field(1, []byte("k")), field(2, value)...)))
		} else {
			value = field(5, field(1, value))
		}
	}
	return withAttribute(append(field(1, []byte("deep")), field(2, value)...))
}

// withAttribute is a request with a span that has the fields of an attribute.
func withAttribute(attribute []byte) []byte {
	return inRequest(append(bytes.Clone(oneSpan), field(9, attribute)...))
}

var oneSpan = append(append(field(1, bytes.Repeat([]byte{1}, 16)), field(2, bytes.Repeat([]byte{2}, 8))...), field(5, []byte("s"))...)

func inRequest(span []byte) []byte { return field(1, field(2, field(2, span))) }

func TestHostileNesting(t *testing.T) {
	const depth = 10_000
	braces := `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"s","attributes":[{"key":"deep","value":` +
		strings.Repeat(`{"arrayValue":{"values":[`, depth) + `{"intValue":1}` + strings.Repeat(`]}}`, depth) + `}]}]}]}]}`
	maps, lists := nested(depth, true), nested(depth, false)
	underAttack(t, func(t *testing.T, v victim) {
		four(func() {
			h1, h2 := web(t, false), web(t, true)
			for range 20 {
				for _, b := range [][]byte{maps, lists} {
					if a := v.hurl(t, h1, "application/x-protobuf", "", b); a.http != 400 {
						t.Errorf("HTTP: %+v", a)
					}
					if a := v.hurlRPC(t, h2, "", b); a.grpc != "3" {
						t.Errorf("gRPC: %+v", a)
					}
				}
				for _, text := range []string{braces, strings.Repeat("[", depth), strings.Repeat(`{"a":`, depth)} {
					if a := v.hurl(t, h1, "application/json", "", []byte(text)); a.http != 400 {
						t.Errorf("JSON: %+v", a)
					}
				}
			}
		})
	})
}

func TestHostileMillionAttributes(t *testing.T) {
	const million = 1_000_000
	var attributes, onResource []byte
	var text strings.Builder
	for i := range million {
		a := append(field(1, fmt.Appendf(nil, "k%d", i)), field(2, protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 1))...)
		attributes, onResource = append(attributes, field(9, a)...), append(onResource, field(1, a)...)
		fmt.Fprintf(&text, `{"key":"k%d","value":{"intValue":1}},`, i)
	}
	span := inRequest(append(bytes.Clone(oneSpan), attributes...))
	resource := field(1, append(field(1, onResource), field(2, field(2, oneSpan))...))
	json := []byte(`{"resourceSpans":[{"resource":{"attributes":[` + strings.TrimSuffix(text.String(), ",") + `]}}]}`)
	for what, b := range map[string][]byte{"span": span, "resource": resource} {
		t.Run("on a "+what, func(t *testing.T) {
			underAttack(t, func(t *testing.T, v victim) {
				h1, h2 := web(t, false), web(t, true)
				for range 4 {
					if a := v.hurl(t, h1, "application/x-protobuf", "", b); a.http != 200 && a.http != 413 && a.http != 503 {
						t.Errorf("HTTP, %d bytes: %+v", len(b), a)
					}
					if a := v.hurlRPC(t, h2, "", b); a.grpc != "0" && a.grpc != "8" && a.grpc != "14" {
						t.Errorf("gRPC, %d bytes: %+v", len(b), a)
					}
				}
			})
		})
	}
	t.Run("in JSON", func(t *testing.T) {
		underAttack(t, func(t *testing.T, v victim) {
			h1 := web(t, false)
			for range 4 {
				if a := v.hurl(t, h1, "application/json", "", json); a.http != 413 {
					t.Errorf("%d bytes: %+v", len(json), a)
				}
			}
		})
	})
}
