package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLSClient is how a client speaks TLS. The zero value verifies the server
// against the system's authorities.
type TLSClient struct {
	Insecure   bool   `yaml:"insecure" help:"Speak without TLS, in plain text."`
	CAFile     string `yaml:"ca_file" help:"Certificates in PEM form that the server's certificate must lead to; empty: the system's." example:"/etc/penstock/ca.pem"`
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

// Config reads the files and returns the standard library's form, or nil when
// Insecure. The client's certificate is read again when its file changes.
func (c TLSClient) Config() (*tls.Config, error) {
	if c.Insecure {
		return nil, nil
	}
	min, err := tlsVersion(c.MinVersion)
	if err != nil {
		return nil, err
	}
	out := &tls.Config{MinVersion: min, ServerName: c.ServerName, InsecureSkipVerify: c.SkipVerify} //nolint:gosec // an operator's explicit choice
	if c.CAFile != "" {
		if out.RootCAs, err = readPool(c.CAFile); err != nil {
			return nil, err
		}
	}
	if c.CertFile != "" {
		pair, err := newReloader(c.CertFile, c.KeyFile, "", nil)
		if err != nil {
			return nil, err
		}
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return pair.current().cert, nil
		}
	}
	return out, nil
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

func readPool(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("certificate authorities: %s has no certificate in PEM form", file)
	}
	return pool, nil
}
