package send

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/penstock-otel/penstock/internal/grpcwire"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// patience is that of the OpenTelemetry SDKs.
const patience = 10 * time.Second

func dial(c Config) (client, error) {
	if c.Protocol == "http" {
		enc, err := codec.NewEncoder(orNone(c.Compression), 0)
		if err != nil {
			return nil, err
		}
		return &httpClient{base: strings.TrimSuffix(c.Target, "/"), enc: enc, headers: c.headers(),
			http: &http.Client{CheckRedirect: stay, Transport: &http.Transport{TLSClientConfig: c.TLS, MaxIdleConnsPerHost: c.Clients * len(c.Signals), IdleConnTimeout: time.Minute}, Timeout: patience}}, nil
	}
	creds := credentials.NewTLS(c.TLS)
	if c.Insecure {
		creds = insecure.NewCredentials()
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(creds), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(grpcwire.Codec{}))}
	if name := orNone(c.Compression); name != codec.None {
		options = append(options, grpc.WithDefaultCallOptions(grpc.UseCompressor(name)))
	}
	conn, err := grpc.NewClient(c.Target, options...)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", c.Target, err)
	}
	var pairs []string
	for _, h := range c.headers() {
		pairs = append(pairs, strings.ToLower(h.Name), h.Value.Reveal())
	}
	return &grpcClient{conn, pairs}, nil
}

// stay follows no redirect: the token is for who was asked.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func orNone(name string) string {
	if name == "" {
		return codec.None
	}
	return name
}

type grpcClient struct {
	conn  *grpc.ClientConn
	pairs []string // of metadata
}

func (c *grpcClient) export(ctx context.Context, s otlp.Signal, body []byte) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, c.pairs...)
	// gRPC may read a message after a call that ended early, so it gets its own.
	in, out := grpcwire.NewFrame(bytes.Clone(body)), new(grpcwire.Frame)
	if err := c.conn.Invoke(ctx, grpcwire.Method(s), in, out); err != nil {
		verdict, after := otlp.JudgeGRPC(status.Convert(err))
		if verdict == otlp.Retry {
			return 0, &retryError{after, err}
		}
		return 0, err
	}
	defer out.Free()
	reply, release := out.Bytes(nil)
	defer release()
	return parseReply(reply)
}

func (c *grpcClient) close() error { return c.conn.Close() }

type httpClient struct {
	base    string
	enc     codec.Encoder
	headers []Header
	http    *http.Client
}

func (c *httpClient) export(ctx context.Context, s otlp.Signal, body []byte) (int64, error) {
	packed, err := c.enc.Append(nil, body)
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v1/"+s.String(), bytes.NewReader(packed))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	if c.enc.Name() != codec.None {
		r.Header.Set("Content-Encoding", c.enc.Name())
	}
	for _, h := range c.headers {
		r.Header.Set(h.Name, h.Value.Reveal())
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return 0, &retryError{0, err}
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end below
	reply, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return 0, &retryError{0, err}
	}
	switch verdict, after := otlp.JudgeHTTP(resp.StatusCode, resp.Header, time.Now()); verdict {
	case otlp.Delivered:
		return parseReply(reply)
	case otlp.Retry:
		return 0, &retryError{after, says(resp, reply)}
	default:
		return 0, says(resp, reply)
	}
}

func (c *httpClient) close() error {
	c.http.CloseIdleConnections()
	return nil
}

func parseReply(reply []byte) (int64, error) {
	rejected, _, err := otlp.ParseResponse(reply)
	return rejected, err
}
