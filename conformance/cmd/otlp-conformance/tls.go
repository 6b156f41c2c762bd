package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
)

// tlsFlags say how to reach an endpoint that speaks TLS, and what the backends show
// to one that exports over it.
type tlsFlags struct {
	on, skipVerify      bool
	ca, cert, key, name string

	backendCert, backendKey string
}

func (t *tlsFlags) add(f *flag.FlagSet) {
	f.BoolVar(&t.on, "tls", false, "speak TLS to -grpc; an https URL does so anyhow")
	f.StringVar(&t.ca, "ca", "", "file of the certificates that sign the endpoint's (default the system's)")
	f.StringVar(&t.cert, "cert", "", "file of the client certificate")
	f.StringVar(&t.key, "key", "", "file of its key")
	f.StringVar(&t.name, "server-name", "", "name in the endpoint's certificate (default the host of its address)")
	f.BoolVar(&t.skipVerify, "skip-verify", false, "do not verify the endpoint's certificate")
	f.StringVar(&t.backendCert, "backend-cert", "", "file of a certificate: the backends speak TLS with it")
	f.StringVar(&t.backendKey, "backend-key", "", "file of its key")
}

// backend is nil for backends in plain text.
func (t *tlsFlags) backend() (*tls.Config, error) {
	if (t.backendCert == "") != (t.backendKey == "") {
		return nil, errors.New("-backend-cert and -backend-key go together")
	}
	if t.backendCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(t.backendCert, t.backendKey)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}, nil
}

// config is nil without TLS.
func (t *tlsFlags) config() (*tls.Config, error) {
	if !t.on {
		if *t != (tlsFlags{backendCert: t.backendCert, backendKey: t.backendKey}) {
			return nil, errors.New("flags of TLS without -tls")
		}
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.name, InsecureSkipVerify: t.skipVerify}
	if t.ca != "" {
		pem, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate", t.ca)
		}
	}
	if (t.cert == "") != (t.key == "") {
		return nil, errors.New("-cert and -key go together")
	}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
