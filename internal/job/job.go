package job

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Wish is what the operator wants of a job.
type Wish string

// The wishes.
const (
	WishRun    Wish = "run"
	WishPause  Wish = "pause"
	WishCancel Wish = "cancel"
)

// Phase is where a job is.
type Phase string

// The phases. Those from PhaseDone on are final.
const (
	PhasePending   Phase = "pending" // waits for a runner
	PhaseRunning   Phase = "running"
	PhasePaused    Phase = "paused"
	PhaseDone      Phase = "done"
	PhaseFailed    Phase = "failed"
	PhaseCancelled Phase = "cancelled"
)

// Phases lists them.
func Phases() []Phase {
	return []Phase{PhasePending, PhaseRunning, PhasePaused, PhaseDone, PhaseFailed, PhaseCancelled}
}

// Ended tells whether the phase is final.
func (p Phase) Ended() bool {
	return p == PhaseDone || p == PhaseFailed || p == PhaseCancelled
}

// Job is a description of work and how far it is.
type Job struct {
	// ID is a ULID, or the name that the operator gave it.
	ID   string          `json:"id"`
	Kind string          `json:"kind"`
	Spec json.RawMessage `json:"spec"`

	Wish   Wish   `json:"wish"`
	WishBy string `json:"wish_by,omitempty"` // who wished it last
	Phase  Phase  `json:"phase"`

	Progress   Progress        `json:"progress"`
	Checkpoint json.RawMessage `json:"checkpoint,omitempty"`
	// Hold has, for each stream, the lowest sequence that is still needed.
	Hold map[string]uint64 `json:"hold,omitempty"`

	// Error is why the job failed, or why it waits before it is tried again.
	Error string `json:"error,omitempty"`
	// Waiting is why a runner that saw the job could not take it.
	Waiting string `json:"waiting,omitempty"`
	// Runner is the process that works on it, or did last.
	Runner string `json:"runner,omitempty"`
	// Epoch is that of the take; a runner with another one has lost the job.
	Epoch string `json:"epoch,omitempty"`
	// Reserved jobs are run by the process that was started for them alone.
	Reserved bool   `json:"reserved,omitempty"`
	By       string `json:"by,omitempty"` // who created it

	// Tries since the last progress, failures and deaths of runners alike.
	Tries int `json:"tries,omitempty"`
	// Orphaned counts takes of a job whose runner had died.
	Orphaned int `json:"orphaned,omitempty"`

	CreatedAt time.Time `json:"created_at"`
	StartedAt time.Time `json:"started_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	// NotBefore is when a job that failed is tried again.
	NotBefore time.Time `json:"not_before,omitzero"`

	// Note has what is to be known beside the numbers, such as a window that is
	// partly purged.
	Note []string `json:"note,omitempty"`
}

// Amount is a quantity of telemetry.
type Amount struct {
	Messages uint64 `json:"messages"`
	Items    uint64 `json:"items"`
	Bytes    uint64 `json:"bytes"` // before compression
}

// Add adds b.
func (a *Amount) Add(b Amount) {
	a.Messages += b.Messages
	a.Items += b.Items
	a.Bytes += b.Bytes
}

// Progress is how far a job is. What a message came to is one of Done, Skipped,
// Dead and Damaged; of a message that was filtered or split each part is
// counted where it came to, and the message where the last part did.
type Progress struct {
	Total   Amount `json:"total"`   // to be looked at; see Estimated
	Done    Amount `json:"done"`    // confirmed by the destination
	Skipped Amount `json:"skipped"` // looked at and not wanted
	Dead    Amount `json:"dead"`    // moved to the dead-letter stream, or back
	Damaged Amount `json:"damaged"` // cannot be read, and was left out
	Missing Amount `json:"missing"` // purged before it was read; Messages alone is known
	// Duplicates may have been sent twice, by a runner that died or was stopped
	// in the middle. They are in Done too.
	Duplicates Amount `json:"duplicates"`
	Rejected   uint64 `json:"rejected"` // items that the destination took the request of and rejected
	Retries    uint64 `json:"retries"`  // exports that failed and were tried again
	Estimated  bool   `json:"estimated,omitempty"`

	BytesPerSecond float64 `json:"bytes_per_second"`
	ItemsPerSecond float64 `json:"items_per_second"`
	ETASeconds     float64 `json:"eta_seconds,omitempty"` // 0: not known
}

// Seen is what was looked at.
func (p *Progress) Seen() Amount {
	var a Amount
	for _, b := range []Amount{p.Done, p.Skipped, p.Dead, p.Damaged, p.Missing} {
		a.Add(b)
	}
	return a
}

// Ratio is the part that was looked at, 0 to 1, by messages.
func (p *Progress) Ratio() float64 {
	if p.Total.Messages == 0 {
		return 0
	}
	return min(1, float64(p.Seen().Messages)/float64(p.Total.Messages))
}

// notSeen is how long a job may wait before that is worth a word.
const notSeen = 10 * time.Second

// Why says why a job does not move, "" when it does or has ended.
func (j *Job) Why(now time.Time) string {
	switch {
	case j.Phase == PhasePaused:
		return "paused"
	case j.Phase != PhasePending:
		return ""
	case !j.due(now):
		return fmt.Sprintf("tried again at %s: %s", j.NotBefore.UTC().Format(time.RFC3339), j.Error)
	case j.Waiting != "":
		return j.Waiting
	case j.Reserved:
		return "waits for the process that was started for it; start it again, or cancel the job"
	case now.Sub(j.CreatedAt) > notSeen:
		return "no worker has taken it yet: none is running, or all are busy with other jobs"
	}
	return ""
}

// due tells whether the back-off is over. One that is longer than it can be was
// set by another clock.
func (j *Job) due(now time.Time) bool {
	return !now.Before(j.NotBefore) || j.NotBefore.Sub(now) > maxBackoff
}

// Bounds of the notes.
const (
	maxNotes = 20
	maxNote  = 500
)

// note adds a line that is not there yet.
func (j *Job) note(text string) {
	text = shorten(text, maxNote)
	if text == "" || slices.Contains(j.Note, text) {
		return
	}
	if len(j.Note) >= maxNotes {
		j.Note = slices.Delete(j.Note, 1, 2) // the first tells the most
	}
	j.Note = append(j.Note, text)
}

// shorten makes a text fit for a job: of bounded length, and harmless to whoever
// prints it. Errors hold the words of destinations, in which a terminal may find
// orders.
func shorten(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '�'
	}, s)
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
