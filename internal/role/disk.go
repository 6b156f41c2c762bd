package role

import (
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// disk tells of the volume under the embedded queue.
type disk struct {
	dir        string
	free, size *prometheus.Desc
}

func newDisk(dir string) *disk {
	return &disk{dir: dir,
		free: prometheus.NewDesc("penstock_queue_disk_free_bytes", "Bytes left on the volume of the embedded queue.", nil, nil),
		size: prometheus.NewDesc("penstock_queue_disk_size_bytes", "Size of the volume of the embedded queue.", nil, nil)}
}

// Describe implements prometheus.Collector.
func (d *disk) Describe(ch chan<- *prometheus.Desc) {
	ch <- d.free
	ch <- d.size
}

// Collect implements prometheus.Collector. A volume that cannot be asked is an
// error of the scrape.
func (d *disk) Collect(ch chan<- prometheus.Metric) {
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		ch <- prometheus.NewInvalidMetric(d.free, err)
		return
	}
	block := float64(st.Bsize)
	ch <- prometheus.MustNewConstMetric(d.free, prometheus.GaugeValue, float64(st.Bavail)*block)
	ch <- prometheus.MustNewConstMetric(d.size, prometheus.GaugeValue, float64(st.Blocks)*block)
}
