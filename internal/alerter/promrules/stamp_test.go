package promrules_test

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

func stamp(p interface {
	SetTimestamp(pcommon.Timestamp)
	SetStartTimestamp(pcommon.Timestamp)
}, at time.Time) {
	p.SetTimestamp(pcommon.NewTimestampFromTime(at))
	p.SetStartTimestamp(pcommon.NewTimestampFromTime(epoch.Add(-time.Hour)))
}
