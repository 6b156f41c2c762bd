package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
)

// TLSClient is how a client speaks TLS. The zero value verifies the server
// against the system's authorities.
type TLSClient struct {
	Insecure   bool   `yaml:"insecure" help:"Speak without TLS, in plain text."`
	CAFile     string `yaml:"ca_file" help:"Certificates in PEM form that the server's certificate must lead to; empty: the system's. Read again when it changes." example:"/etc/penstock/ca.pem"`
	CertFile   string `yaml:"cert_file" help:"Client certificate in PEM form, for mutual TLS; read again when it changes." example:"/etc/penstock/tls.crt"`
	KeyFile    string `yaml:"key_file" help:"Private key of cert_file in PEM form." example:"/etc/penstock/tls.key"`
	ServerName string `yaml:"server_name" help:"Name to expect in the server's certificate; empty: the host of the address."`
	SkipVerify bool   `yaml:"skip_verify" help:"Accept any server certificate. Anyone in between can then read and change the traffic."`
	MinVersion string `yaml:"min_version" help:"Lowest TLS version; empty is 1.2." enum:"1.2,1.3"`
}

// Validate refuses settings that contradict one another.
func (c TLSClient) Validate() error {
	var errs []error
	if (c.CertFile == "") != (c.KeyFile == "") {
		errs = append(errs, KeyError("cert_file", "needs key_file, and the reverse; one of them is empty"))
	}
	if c.Insecure && (c.CAFile != "" || c.CertFile != "" || c.ServerName != "" || c.SkipVerify || c.MinVersion != "") {
		errs = append(errs, KeyError("insecure", "speaks without TLS, so that ca_file, cert_file, server_name, skip_verify and min_version have no effect; remove one or the other"))
	}
	return errors.Join(errs...)
}

// TLSSource is the TLS of a client whose files may change.
type TLSSource struct {
	base  *tls.Config
	files *Reread[*tlsMaterial] // nil: no files

	mu   sync.Mutex
	last *tls.Config    // mu; with the authorities pool
	pool *x509.CertPool // mu
}

// Open reads the files and returns what the client's connections are made with,
// or nil when Insecure. Files that change are read again, by whoever makes a
// connection; what cannot be read leaves the old in use, and use's logger says so.
func (c TLSClient) Open(use TLSUse) (*TLSSource, error) {
	if c.Insecure {
		return nil, nil
	}
	min, err := tlsVersion(c.MinVersion)
	if err != nil {
		return nil, err
	}
	s := &TLSSource{base: &tls.Config{MinVersion: min, ServerName: c.ServerName, InsecureSkipVerify: c.SkipVerify}} //nolint:gosec // an operator's explicit choice
	if c.CAFile == "" && c.CertFile == "" {
		return s, nil
	}
	if s.files, err = openMaterial(c.CertFile, c.KeyFile, c.CAFile, use); err != nil {
		return nil, err
	}
	if c.CertFile != "" {
		s.base.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return s.files.Now().cert, nil
		}
	}
	return s, nil
}

// Config is for the next connection: the same until the authorities change, so
// that a comparison tells whether they did. It is shared: clone it to change it.
// A nil source speaks plain text and gives nil.
func (s *TLSSource) Config() *tls.Config {
	if s == nil {
		return nil
	}
	if s.files == nil {
		return s.base
	}
	pool := s.files.Now().pool
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil || s.pool != pool {
		s.last, s.pool = s.base.Clone(), pool
		s.last.RootCAs = pool
	}
	return s.last
}

// RootCAs are the authorities for the next connection, nil for the system's.
func (s *TLSSource) RootCAs() *x509.CertPool {
	if c := s.Config(); c != nil {
		return c.RootCAs
	}
	return nil
}

// Config is Open for a client that lives shortly: the authorities are read once.
func (c TLSClient) Config() (*tls.Config, error) {
	s, err := c.Open(TLSUse{})
	return s.Config(), err
}

func tlsVersion(text string) (uint16, error) {
	switch text {
	case "", "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	default:
		return 0, fmt.Errorf("TLS version %q: want 1.2 or 1.3", text)
	}
}
