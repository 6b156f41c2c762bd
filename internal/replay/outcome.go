package replay

import "github.com/penstock-otel/penstock/internal/job"

// outcome is what one message came to.
type outcome struct {
	done, skipped, dead, damaged, missing job.Amount
	rejected                              uint64
	// twice: what is done may have been done by another too.
	twice bool
}

// into adds the outcome to the progress.
func (o *outcome) into(p *job.Progress, again bool) {
	p.Done.Add(o.done)
	p.Skipped.Add(o.skipped)
	p.Dead.Add(o.dead)
	p.Damaged.Add(o.damaged)
	p.Missing.Add(o.missing)
	p.Rejected += o.rejected
	if again || o.twice {
		p.Duplicates.Add(o.done)
	}
}
