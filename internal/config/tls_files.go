package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// maxPEM bounds a file of certificates; a system's whole bundle is a quarter of
// a MiB.
const maxPEM = 4 << 20

// TLSUse says what certificate files are used for, and who is told of them.
type TLSUse struct {
	// Name in the user's keys, such as "gateway.grpc.tls".
	Name   string
	Logger *slog.Logger // nil: silent
	// Files are told which files are in use; nil: nobody watches their expiry.
	Files *TLSFiles
}

// TLSFiles are the certificate files in use by a process, for what tells of
// their expiry. A use is in it until the process ends. The zero value is ready;
// safe for concurrent use.
type TLSFiles struct {
	mu   sync.Mutex
	uses []func() TLSState // mu
}

// TLSState is one use of certificate files as it is now.
type TLSState struct {
	Use   string
	Files []TLSFile
	// Rereads are the times that changed files were taken into use, Failures
	// those that changed files could not be used.
	Rereads, Failures uint64
}

// TLSFile is one file of certificates.
type TLSFile struct {
	Path string
	// Expires is when the first of its certificates does.
	Expires time.Time
}

// States looks at the files and tells what is in use of them.
func (f *TLSFiles) States() []TLSState {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]TLSState, len(f.uses))
	for i, state := range f.uses {
		out[i] = state()
	}
	return out
}

func (f *TLSFiles) add(state func() TLSState) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.uses = append(f.uses, state)
}

// tlsMaterial is one reading of the files; never changed after it was made.
type tlsMaterial struct {
	cert  *tls.Certificate // nil without a certificate file
	pool  *x509.CertPool   // nil without an authorities file
	files []TLSFile
}

// openMaterial reads the files, any of which may be "", and tells use of them.
func openMaterial(certFile, keyFile, caFile string, use TLSUse) (*Reread[*tlsMaterial], error) {
	read := func() (*tlsMaterial, error) { return readMaterial(certFile, keyFile, caFile) }
	said := func(fresh *tlsMaterial, err error) {
		switch {
		case use.Logger == nil:
		case err != nil:
			use.Logger.Error("certificate files changed and cannot be used; the ones read before stay in use", "use", use.Name, "error", err)
		default:
			use.Logger.Info("certificate files read again", "use", use.Name, "expires", soonest(fresh.files))
		}
	}
	r, err := NewReread([]string{certFile, keyFile, caFile}, read, said)
	if err != nil {
		return nil, err
	}
	use.Files.add(func() TLSState {
		s := TLSState{Use: use.Name, Files: r.Now().files}
		s.Rereads, s.Failures = r.Counts()
		return s
	})
	return r, nil
}

func readMaterial(certFile, keyFile, caFile string) (*tlsMaterial, error) {
	m := &tlsMaterial{}
	if certFile != "" {
		cert, err := readPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
		}
		chain := make([]*x509.Certificate, 0, len(cert.Certificate))
		for _, der := range cert.Certificate {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, fmt.Errorf("certificate %s: %w", certFile, err)
			}
			chain = append(chain, c)
		}
		m.cert = &cert
		m.tell(certFile, chain)
	}
	if caFile != "" {
		authorities, err := readAuthorities(caFile)
		if err != nil {
			return nil, err
		}
		m.pool = x509.NewCertPool()
		for _, c := range authorities {
			m.pool.AddCert(c)
		}
		m.tell(caFile, authorities)
	}
	return m, nil
}

// tell notes when the first of the certificates in a file expires. A file that
// serves twice, as certificate and as authority, is noted once.
func (m *tlsMaterial) tell(path string, certs []*x509.Certificate) {
	f := TLSFile{Path: path, Expires: certs[0].NotAfter}
	for _, c := range certs {
		f.Expires = earlier(f.Expires, c.NotAfter)
	}
	for i, other := range m.files {
		if other.Path == path {
			m.files[i].Expires = earlier(other.Expires, f.Expires)
			return
		}
	}
	m.files = append(m.files, f)
}

func readPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := ReadBounded(certFile, maxPEM)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := ReadBounded(keyFile, maxPEM)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// readAuthorities is at least one certificate. What is no certificate in the file
// is passed over, as x509.CertPool does.
func readAuthorities(file string) ([]*x509.Certificate, error) {
	data, err := ReadBounded(file, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	var out []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" || len(block.Headers) != 0 {
			continue
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("certificate authorities: %s has no certificate in PEM form", file)
	}
	return out, nil
}

func soonest(files []TLSFile) time.Time {
	at := files[0].Expires
	for _, f := range files[1:] {
		at = earlier(at, f.Expires)
	}
	return at
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
