package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// reloadEvery is how often a handshake looks at the files.
const reloadEvery = 2 * time.Second

// tlsFiles is one reading of the files; never changed after it was made.
type tlsFiles struct {
	cert *tls.Certificate
	pool *x509.CertPool // nil without an authorities file
}

// reloader keeps the last good reading of a certificate, its key and, when
// named, an authorities file. It has no goroutine: a handshake looks.
type reloader struct {
	certFile, keyFile, caFile string
	logger                    *slog.Logger // nil: silent

	mu      sync.Mutex // guards everything below
	good    *tlsFiles
	checked time.Time
	seen    [3]stamp
	now     func() time.Time
}

// stamp tells whether a file changed. os.Stat follows links, so that the swap of
// a directory link, by which Kubernetes updates a Secret, is seen too.
type stamp struct {
	modified time.Time
	size     int64
}

func newReloader(certFile, keyFile, caFile string, logger *slog.Logger) (*reloader, error) {
	r := &reloader{certFile: certFile, keyFile: keyFile, caFile: caFile, logger: logger, now: time.Now}
	var err error
	if r.seen, err = r.stamps(); err != nil {
		return nil, err
	}
	if r.good, err = r.read(); err != nil {
		return nil, err
	}
	r.checked = r.now()
	return r, nil
}

// current is what a handshake uses.
func (r *reloader) current() *tlsFiles {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); now.Sub(r.checked) < reloadEvery {
		return r.good
	} else {
		r.checked = now
	}
	seen, err := r.stamps()
	if err == nil && seen == r.seen {
		return r.good
	}
	var fresh *tlsFiles
	if err == nil {
		// Also a set that cannot be read is looked at only once a change: it
		// is said once, and the next write brings another try.
		r.seen = seen
		fresh, err = r.read()
	}
	if err != nil {
		if r.logger != nil {
			r.logger.Error("certificate files changed and cannot be used; the ones read before stay in use", "cert_file", r.certFile, "error", err)
		}
		return r.good
	}
	r.good = fresh
	if r.logger != nil {
		r.logger.Info("certificate files read again", "cert_file", r.certFile, "expires", fresh.cert.Leaf.NotAfter)
	}
	return fresh
}

func (r *reloader) stamps() (out [3]stamp, err error) {
	for i, name := range []string{r.certFile, r.keyFile, r.caFile} {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return out, fmt.Errorf("certificate files: %w", err)
		}
		out[i] = stamp{info.ModTime(), info.Size()}
	}
	return out, nil
}

func (r *reloader) read() (*tlsFiles, error) {
	cert, err := tls.LoadX509KeyPair(r.certFile, r.keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", r.certFile, r.keyFile, err)
	}
	files := &tlsFiles{cert: &cert}
	if r.caFile != "" {
		if files.pool, err = readPool(r.caFile); err != nil {
			return nil, err
		}
	}
	return files, nil
}
