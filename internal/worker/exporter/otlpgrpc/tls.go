package otlpgrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"
)

// freshTLS makes each connection with the configuration of now: authorities may
// change, and gRPC keeps what it was given at the start.
type freshTLS struct{ now func() *tls.Config }

// ClientHandshake implements credentials.TransportCredentials.
func (f freshTLS) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(f.now()).ClientHandshake(ctx, authority, conn)
}

// ServerHandshake implements credentials.TransportCredentials.
func (freshTLS) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("BUG: credentials of a client in a server")
}

// Info implements credentials.TransportCredentials.
func (f freshTLS) Info() credentials.ProtocolInfo { return credentials.NewTLS(f.now()).Info() }

// Clone implements credentials.TransportCredentials.
func (f freshTLS) Clone() credentials.TransportCredentials { return f }

// OverrideServerName implements credentials.TransportCredentials, which has it
// for old callers; the name is in the configuration.
func (freshTLS) OverrideServerName(string) error {
	return errors.New("BUG: the server name is part of the configuration")
}
