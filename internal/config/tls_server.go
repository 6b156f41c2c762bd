package config

import (
	"crypto/tls"
	"errors"
	"log/slog"
)

// TLSServer is how a listener speaks TLS. The zero value is plain text.
type TLSServer struct {
	CertFile     string `yaml:"cert_file" help:"Certificate chain in PEM form; set, the listener speaks TLS. Read again when it changes." example:"/etc/penstock/tls.crt"`
	KeyFile      string `yaml:"key_file" help:"Private key of cert_file in PEM form." example:"/etc/penstock/tls.key"`
	ClientCAFile string `yaml:"client_ca_file" help:"Certificates in PEM form that a client's certificate must lead to; set, clients must show one. Read again when it changes." example:"/etc/penstock/clients.pem"`
	MinVersion   string `yaml:"min_version" help:"Lowest TLS version; empty is 1.2." enum:"1.2,1.3"`
}

// Enabled says whether the listener speaks TLS.
func (t TLSServer) Enabled() bool { return t.CertFile != "" }

// Validate refuses settings that would leave a listener less safe than they read.
func (t TLSServer) Validate() error {
	var errs []error
	if (t.CertFile == "") != (t.KeyFile == "") {
		errs = append(errs, KeyError("cert_file", "needs key_file, and the reverse; one of them is empty"))
	}
	if t.ClientCAFile != "" && t.CertFile == "" {
		errs = append(errs, KeyError("client_ca_file", "needs cert_file: without TLS no client shows a certificate"))
	}
	return errors.Join(errs...)
}

// Config reads the files and returns the standard library's form, or nil when
// TLS is not enabled. Certificate, key and client authorities are read again
// when a file's time changes, which a handshake looks at every few seconds; a
// new set that cannot be read leaves the old one in use, and logger says so.
//
// protos are the ALPN protocols to offer, such as "h2" and "http/1.1". Pass
// them here and not later: a configuration made for one handshake has only them.
func (t TLSServer) Config(logger *slog.Logger, protos ...string) (*tls.Config, error) {
	if !t.Enabled() {
		return nil, nil
	}
	min, err := tlsVersion(t.MinVersion)
	if err != nil {
		return nil, err
	}
	files, err := newReloader(t.CertFile, t.KeyFile, t.ClientCAFile, logger)
	if err != nil {
		return nil, err
	}
	base := &tls.Config{
		MinVersion: min,
		NextProtos: protos,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return files.current().cert, nil
		},
	}
	if t.ClientCAFile == "" {
		return base, nil
	}
	base.ClientAuth, base.ClientCAs = tls.RequireAndVerifyClientCert, files.current().pool
	outer := base.Clone()
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := files.current()
		if now.pool == base.ClientCAs {
			return nil, nil // nothing changed since the start: the outer one serves
		}
		fresh := base.Clone()
		fresh.ClientCAs = now.pool
		return fresh, nil
	}
	return outer, nil
}
