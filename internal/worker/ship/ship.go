package ship

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// Cause of a cut.
type Cause uint8

// A record is cut because it is too large, or to find the items that are
// rejected.
const (
	TooLarge Cause = iota
	Rejected
)

func (c Cause) String() string { return [...]string{"too_large", "rejected"}[c] }

// defaultRawBytes is MaxRawBytes where it is 0.
const defaultRawBytes = 64 << 20

// Options of a shipment. The zero value sends in one request what the exporter
// takes in one.
type Options struct {
	// MaxRequestBytes is the largest request, before compression; what is larger
	// is split before it is sent. A single item is sent whatever its size. 0: the
	// exporter alone decides.
	MaxRequestBytes int
	// MaxRawBytes bounds the payload of a record that is cut, decompressed; a
	// larger one that has to be cut is dead. Three times as much is in memory
	// while it is. 0: 64 MiB.
	MaxRawBytes int
	// Progress is what earlier calls for the record have left; it is changed.
	// nil: this is the first call, and there will be no other.
	Progress *Progress
	// Header goes with each request.
	Header []exporter.Header
	// DeadLetterRefusals makes items dead that a destination refuses with a code
	// that speaks of itself (see Refuses), where else Ship returns the error.
	DeadLetterRefusals bool
	// Strict makes items dead by every answer that OTLP calls not retryable, with
	// those that a quota or a passing fault may be behind (see Holds). It goes with
	// DeadLetterRefusals.
	Strict bool
	// Cutter is asked before the record is cut. nil: it may be.
	Cutter Cutter
}

// Cutter allows or forbids to cut.
type Cutter interface {
	// Cut is called before a record is cut, once in a call of Ship for each
	// cause. An error ends that call and comes back as it is.
	Cut(Cause) error
}

// Outcome is what one call did.
type Outcome struct {
	// Delivered items were taken by this call, without those Rejected.
	Delivered int
	// Rejected is the sum of the partial successes of this call; final.
	Rejected int64
	// Message is the exporter's last word with a request that it took.
	Message string
	// Requests that were answered, in this call.
	Requests int
	// Dead are the items that will never be taken, in order, over all calls. Set
	// when Ship returned no error, empty else.
	Dead []Dead
}

// Dead are neighbouring items of a record that died of the same.
type Dead struct {
	Range Range
	// Whole: it is all of the record, and Record the record itself.
	Whole bool
	// Record holds these items and nothing else. It has the id and the tenant of
	// the record.
	Record *record.Record
	Reason
}

// Part is Range.Part, "" within nothing for the whole record.
func (d *Dead) Part(within string) string {
	if d.Whole {
		return within
	}
	return d.Range.Part(within)
}

// Ship delivers r, in parts where it has to. r and its body are only read.
//
// An *exporter.Error of kind Retryable means that the rest of the record is to
// be shipped later, with the same Progress; of kind Permanent, that the
// destination refuses whatever is sent, for a reason that somebody has to see to
// first (see Refuses): later with the same Progress as well. The error of ctx or
// of Options.Cutter comes back as it is. In each case Outcome has what was done
// before.
func Ship(ctx context.Context, x exporter.Exporter, r *record.Record, o Options) (Outcome, error) {
	s := newShipment(ctx, x, r, o)
	err := s.run()
	return s.out, err
}

// GiveUp makes all that was not decided of r dead, for that reason, and sends
// nothing. Options and the Outcome are those of Ship, which it takes the place
// of when the caller has had enough of errors.
func GiveUp(r *record.Record, o Options, why Reason) (Outcome, error) {
	s := newShipment(context.Background(), nil, r, o)
	if len(s.p.fates) == 0 {
		s.all = Range{0, r.Items}
		s.deadWhole(why)
		return s.out, nil
	}
	s.p.hopeless = &why
	err := s.inParts()
	return s.out, err
}

func newShipment(ctx context.Context, x exporter.Exporter, r *record.Record, o Options) shipment {
	if o.Progress == nil {
		o.Progress = &Progress{}
	}
	if o.MaxRawBytes == 0 {
		o.MaxRawBytes = defaultRawBytes
	}
	return shipment{ctx: ctx, x: x, r: r, o: o, p: o.Progress}
}

// shipment is one call of Ship.
type shipment struct {
	ctx   context.Context
	x     exporter.Exporter
	r     *record.Record
	o     Options
	p     *Progress
	out   Outcome
	asked [2]bool // Options.Cutter, by cause
	raw   []byte  // the payload, once the record is cut
	all   Range
}

func (s *shipment) run() error {
	s.all = Range{0, s.r.Items}
	if !s.p.Began() {
		s.p.hopeless = nil // of a turn whose letter was not confirmed: it may be taken now, or be bad in part
	}
	if !s.p.Began() && (s.fits(s.r.RawBytes) || s.r.Items < 2) {
		why, err := s.export(&exporter.Request{Items: s.r.Items, RawBytes: s.r.RawBytes, Codec: s.r.Codec, Body: s.r.Body})
		switch {
		case err != nil:
			return err
		case why == nil:
			return nil
		case s.r.Items < 2 || s.p.hopeless != nil:
			s.deadWhole(*why)
			return nil
		}
		s.p.refuse(s.all, *why)
	}
	return s.inParts()
}

func (s *shipment) deadWhole(why Reason) {
	s.out.Dead = []Dead{{Range: s.all, Whole: true, Record: s.r, Reason: why}}
}

// fits tells whether a request of so many bytes may be sent.
func (s *shipment) fits(bytes int) bool {
	return (s.o.MaxRequestBytes == 0 || bytes <= s.o.MaxRequestBytes) && (s.p.limit == 0 || bytes <= s.p.limit)
}

// export sends one request. It was taken when both results are nil.
func (s *shipment) export(q *exporter.Request) (*Reason, error) {
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}
	q.Signal, q.Tenant, q.ID, q.Header = s.r.Signal, s.r.Tenant, s.r.ID, s.o.Header
	result, err := s.x.Export(s.ctx, q)
	if err == nil {
		s.answered()
		rejected := min(max(result.Rejected, 0), int64(q.Items))
		delivered := q.Items - int(rejected)
		s.out.Delivered, s.out.Rejected = s.out.Delivered+delivered, s.out.Rejected+rejected
		s.p.delivered, s.p.rejected = s.p.delivered+delivered, s.p.rejected+rejected
		if result.Message != "" || rejected > 0 {
			s.out.Message = result.Message
		}
		return nil, nil
	}
	var e *exporter.Error
	if !errors.As(err, &e) || e.Kind == exporter.Retryable {
		return nil, err
	}
	if held, ok := Holds(e, q.RawBytes); ok && !s.o.Strict && (held.Kind == exporter.Retryable || !s.o.DeadLetterRefusals) {
		return nil, held
	}
	s.answered()
	why := Reason{Reason: deadletter.ReasonRejected, Code: e.Code}
	if e.Err != nil {
		why.Detail = e.Err.Error()
	}
	if e.Kind == exporter.TooLarge {
		why.Reason = deadletter.ReasonTooLarge
		// Halves are of about one size: what is hardly smaller is not tried.
		s.p.limit = max(1, min(q.RawBytes-q.RawBytes/8-1, s.p.limitOr(q.RawBytes)))
	}
	if Refuses(e.Code) || inseparable(e.Code) {
		s.p.hopeless = &why
	}
	return &why, nil
}

func (s *shipment) answered() {
	s.p.requests++
	s.out.Requests++
}

// may asks the caller, once for each cause.
func (s *shipment) may(c Cause) error {
	if s.asked[c] || s.o.Cutter == nil {
		return nil
	}
	s.asked[c] = true
	return s.o.Cutter.Cut(c)
}

// decode has the payload of the record, or the reason why there is none.
func (s *shipment) decode() (why *Reason) {
	var err error
	s.raw, err = codec.Decode(nil, s.r.Codec, s.r.Body, s.o.MaxRawBytes)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, codec.ErrTooLarge):
		return &Reason{Reason: deadletter.ReasonTooLarge, Code: "too_large", Detail: fmt.Sprintf("cannot be cut: %v", err)}
	}
	return &Reason{Reason: deadletter.ReasonRejected, Code: "undecodable", Detail: err.Error()}
}
