package role

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/config"
)

// A certificate that ends soon is said at the start and from then on daily.
const (
	expiresSoon = 14 * 24 * time.Hour
	sayExpiry   = 24 * time.Hour
	lookExpiry  = time.Hour
)

// certificates tells when the certificate files in use expire. A scrape looks at
// the files, so that it is true without a handshake too.
type certificates struct {
	files                     *config.TLSFiles
	expiry, rereads, failures *prometheus.Desc
}

func newCertificates(files *config.TLSFiles) *certificates {
	return &certificates{files: files,
		expiry:   prometheus.NewDesc("penstock_tls_certificate_expiry_timestamp_seconds", "When the first certificate expires of a file in use: a server's or client's chain, or authorities. The use is a key of the configuration.", []string{"use", "file"}, nil),
		rereads:  prometheus.NewDesc("penstock_tls_rereads_total", "Times that changed certificate files were taken into use.", []string{"use"}, nil),
		failures: prometheus.NewDesc("penstock_tls_reread_failures_total", "Times that changed certificate files could not be used; the ones before stay in use.", []string{"use"}, nil)}
}

// Describe implements prometheus.Collector.
func (c *certificates) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.expiry
	ch <- c.rereads
	ch <- c.failures
}

// Collect implements prometheus.Collector.
func (c *certificates) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.files.States() {
		for _, f := range s.Files {
			ch <- prometheus.MustNewConstMetric(c.expiry, prometheus.GaugeValue, float64(f.Expires.Unix()), s.Use, f.Path)
		}
		ch <- prometheus.MustNewConstMetric(c.rereads, prometheus.CounterValue, float64(s.Rereads), s.Use)
		ch <- prometheus.MustNewConstMetric(c.failures, prometheus.CounterValue, float64(s.Failures), s.Use)
	}
}

// expiryWarner says which certificates end soon, each once a day.
type expiryWarner struct {
	files *config.TLSFiles
	log   *slog.Logger
	said  map[[2]string]time.Time // by use and file
}

// look says what is due at the time now.
func (w *expiryWarner) look(now time.Time) {
	for _, s := range w.files.States() {
		for _, f := range s.Files {
			key := [2]string{s.Use, f.Path}
			left := f.Expires.Sub(now)
			if left >= expiresSoon {
				delete(w.said, key) // it was renewed
				continue
			}
			if last, ok := w.said[key]; ok && now.Sub(last) < sayExpiry {
				continue
			}
			w.said[key] = now
			msg := "certificate expires soon: renew it, the file is read again by itself"
			if left <= 0 {
				msg = "certificate has expired: renew it, the file is read again by itself"
			}
			w.log.Warn(msg, "use", s.Use, "file", f.Path, "expires", f.Expires, "days_left", int(left.Hours()/24))
		}
	}
}

// watchCertificates warns of what expires. It is called when everything that
// reads certificates was made.
func (b *base) watchCertificates() {
	w := &expiryWarner{files: b.files, log: app.Component(b.log, "tls"), said: map[[2]string]time.Time{}}
	b.app.Go("watch of certificates", func(ctx context.Context) error {
		tick := time.NewTicker(lookExpiry)
		defer tick.Stop()
		for {
			w.look(time.Now())
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
		}
	})
}
