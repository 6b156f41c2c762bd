package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/record"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// Publish stores r on stream and returns when that is confirmed: the whole
// message of origin o, or with a part (see Part) these items of it alone. The
// body keeps its codec. The id is made of the message's place and id, of the
// destination and of the part, so that a repetition after a lost answer, or
// after a lost ack once the message came again, stores nothing twice within the
// dedup window of the stream; package topology makes that longer than the ack
// wait. Nothing is settled. A detail that makes the message larger than the
// queue takes is left out: the payload is worth more.
func Publish(ctx context.Context, p queue.Publisher, stream string, o Origin, r *record.Record, part string, l Letter) error {
	return publish(ctx, p, stream, o, record.Encode(r), part, l)
}

// PublishRaw is Publish for a message that no record can be made of: body and
// headers stay as they are. A header that the queue would refuse, of a message
// that somebody else wrote, is made printable or dropped: a message that cannot
// be dead-lettered would come again for ever. m is not changed.
func PublishRaw(ctx context.Context, p queue.Publisher, stream string, o Origin, m *queue.Message, l Letter) error {
	return publish(ctx, p, stream, o, m, "", l)
}

func publish(ctx context.Context, p queue.Publisher, stream string, o Origin, m *queue.Message, part string, l Letter) error {
	part = clean(part, maxPart)
	m = &queue.Message{ID: ID(o, part, l), Header: header(m.Header, o, part, l), Body: m.Body}
	_, err := p.Publish(ctx, stream, m)
	if errors.Is(err, queue.ErrTooLarge) {
		delete(m.Header, HeaderDetail)
		_, err = p.Publish(ctx, stream, m)
	}
	switch {
	case err == nil:
		return nil
	case part != "":
		return fmt.Errorf("dead-letter items %s of message %d of %s: %w", part, o.Sequence, o.Stream, err)
	default:
		return fmt.Errorf("dead-letter message %d of %s: %w", o.Sequence, o.Stream, err)
	}
}

// header is the message's own, made fit for the queue, and those of the letter.
func header(own map[string]string, o Origin, part string, l Letter) map[string]string {
	h := make(map[string]string, len(own)+13)
	for name, value := range own {
		if name != "" && clean(name, len(name)) == name && !strings.ContainsAny(name, ": ") && name != "Status" && name != "Description" {
			h[name] = clean(value, 1024)
		}
	}
	for _, name := range Headers() { // of an earlier letter
		delete(h, name)
	}
	set := func(name, value string) {
		if value != "" {
			h[name] = value
		}
	}
	h[HeaderReason] = l.Reason
	set(HeaderCode, clean(l.Code, 64))
	set(HeaderDetail, clean(l.Detail, 512))
	set(HeaderID, clean(o.ID, 64))
	h[HeaderDestination] = l.Destination
	h[HeaderAttempts] = strconv.Itoa(o.Attempts)
	h[HeaderStream] = o.Stream
	h[HeaderSequence] = strconv.FormatUint(o.Sequence, 10)
	h[HeaderStoredAt] = moment(o.StoredAt)
	h[HeaderDiedAt] = moment(time.Now())
	if !l.FirstAt.IsZero() {
		h[HeaderFirstAt] = moment(l.FirstAt)
	}
	set(HeaderPart, part)
	if l.Redrives > 0 {
		h[HeaderRedrives] = strconv.Itoa(l.Redrives)
	}
	return h
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
