package config

import (
	"crypto/tls"
	"errors"
)

// TLSServer is how a listener speaks TLS. The zero value is plain text.
type TLSServer struct {
	CertFile     string `yaml:"cert_file" help:"Certificate chain in PEM form; set, the listener speaks TLS. Read again when it changes." example:"/etc/penstock/tls.crt"`
	KeyFile      string `yaml:"key_file" help:"Private key of cert_file in PEM form." example:"/etc/penstock/tls.key"`
	ClientCAFile string `yaml:"client_ca_file" help:"Certificates in PEM form that a client's certificate must lead to; set, clients must show one. Read again when it changes." example:"/etc/penstock/clients.pem"`
	ClientAuth   string `yaml:"client_auth" help:"With client_ca_file. require: who shows no certificate is refused. optional: a certificate is verified when one is shown, so that a listener takes certificates and tokens. Empty: require." enum:"require,optional"`
	MinVersion   string `yaml:"min_version" help:"Lowest TLS version; empty is 1.2." enum:"1.2,1.3"`
}

// Values of ClientAuth.
const (
	ClientAuthRequire  = "require"
	ClientAuthOptional = "optional"
)

// Enabled says whether the listener speaks TLS.
func (t TLSServer) Enabled() bool { return t.CertFile != "" }

// RequiresCertificate says whether nobody gets in without a certificate.
func (t TLSServer) RequiresCertificate() bool {
	return t.ClientCAFile != "" && t.ClientAuth != ClientAuthOptional
}

// Validate refuses settings that would leave a listener less safe than they read.
func (t TLSServer) Validate() error {
	var errs []error
	if (t.CertFile == "") != (t.KeyFile == "") {
		errs = append(errs, KeyError("cert_file", "needs key_file, and the reverse; one of them is empty"))
	}
	if t.ClientCAFile != "" && t.CertFile == "" {
		errs = append(errs, KeyError("client_ca_file", "needs cert_file: without TLS no client shows a certificate"))
	}
	if t.ClientAuth != "" && t.ClientCAFile == "" {
		errs = append(errs, KeyError("client_auth", "is %s and needs client_ca_file: there is nothing to verify a certificate against", t.ClientAuth))
	}
	return errors.Join(errs...)
}

// Config reads the files and returns the standard library's form, or nil when
// TLS is not enabled. Certificate, key and client authorities are read again
// when a file changes, which a handshake looks at every few seconds; a new set
// that cannot be read leaves the old one in use, and use's logger says so.
// Connections that exist stay as they are.
//
// A session that a client resumes counts as its certificate did, verified anew
// against the authorities of now: one whose authority was removed is not resumed.
//
// protos are the ALPN protocols to offer, such as "h2" and "http/1.1". Pass
// them here and not later: a configuration made for one handshake has only them.
func (t TLSServer) Config(use TLSUse, protos ...string) (*tls.Config, error) {
	if !t.Enabled() {
		return nil, nil
	}
	min, err := tlsVersion(t.MinVersion)
	if err != nil {
		return nil, err
	}
	files, err := openMaterial(t.CertFile, t.KeyFile, t.ClientCAFile, use)
	if err != nil {
		return nil, err
	}
	base := &tls.Config{
		MinVersion: min,
		NextProtos: protos,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return files.Now().cert, nil
		},
	}
	if t.ClientCAFile == "" {
		return base, nil
	}
	base.ClientAuth, base.ClientCAs = tls.VerifyClientCertIfGiven, files.Now().pool
	if t.RequiresCertificate() {
		base.ClientAuth = tls.RequireAndVerifyClientCert
	}
	outer := base.Clone()
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := files.Now()
		if now.pool == base.ClientCAs {
			return nil, nil // nothing changed since the start: the outer one serves
		}
		fresh := base.Clone()
		fresh.ClientCAs = now.pool
		return fresh, nil
	}
	return outer, nil
}
