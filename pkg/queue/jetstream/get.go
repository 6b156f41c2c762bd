package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/penstock-otel/penstock/pkg/queue"
)

// Get implements queue.Provisioner by a direct read, which any replica answers
// (ADR-31); what a replica does not have is asked of the leader.
func (q *Queue) Get(ctx context.Context, stream string, seq uint64) (*queue.Message, time.Time, error) {
	if err := checkStream(stream); err != nil {
		return nil, time.Time{}, err
	}
	ctx, done, err := q.call(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer done()
	what := fmt.Sprintf("stream %s, sequence %d", stream, seq)
	notFound := fmt.Errorf("queue: %s: %w", what, queue.ErrNotFound)
	if seq == 0 {
		return nil, time.Time{}, notFound
	}
	resp, err := q.control.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+stream, fmt.Appendf(nil, `{"seq":%d}`, seq))
	if err == nil {
		switch status := resp.Header.Get("Status"); {
		case status == "" || len(resp.Data) > 0:
			at, err := time.Parse(time.RFC3339Nano, resp.Header.Get(jetstream.TimeStampHeaer))
			if err != nil {
				return nil, time.Time{}, fmt.Errorf("queue: %s: time of storing: %w", what, err)
			}
			return message(resp.Header, resp.Data), at, nil
		case status == "404" && q.cfg.Replicas == 1:
			return nil, time.Time{}, notFound
		}
	} else if !errors.Is(err, nats.ErrNoResponders) {
		return nil, time.Time{}, apiError(what, err)
	}
	return q.getFromLeader(ctx, stream, what, seq)
}

// getFromLeader asks the one that knows all that was confirmed. The library's
// GetMsg would read from any replica again.
func (q *Queue) getFromLeader(ctx context.Context, stream, what string, seq uint64) (*queue.Message, time.Time, error) {
	if _, err := q.js.Stream(ctx, stream); err != nil {
		return nil, time.Time{}, apiError("stream "+stream, err)
	}
	m, err := q.askLeader(ctx, stream, what, map[string]any{"seq": seq})
	if err != nil {
		return nil, time.Time{}, err
	}
	h, err := headers(m.Header)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("queue: %s: %w", what, err)
	}
	return message(h, m.Data), m.Time, nil
}

func headers(raw []byte) (nats.Header, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	h, err := nats.DecodeHeadersMsg(raw)
	if err != nil {
		return nil, fmt.Errorf("headers: %w", err)
	}
	return h, nil
}

// stored is a message as the leader gives it.
type stored struct {
	Subject  string    `json:"subject"`
	Sequence uint64    `json:"seq"`
	Header   []byte    `json:"hdrs"`
	Data     []byte    `json:"data"`
	Time     time.Time `json:"time"`
}

// askLeader reads one message; ErrNotFound when there is none. It repeats the
// question while ctx allows: while a leader is elected nobody answers.
func (q *Queue) askLeader(ctx context.Context, stream, what string, request map[string]any) (stored, error) {
	req, err := json.Marshal(request)
	if err != nil {
		return stored{}, fmt.Errorf("queue: %s: %w", what, err)
	}
	var answer struct {
		Message stored `json:"message"`
	}
	err = q.ask(ctx, "$JS.API.STREAM.MSG.GET."+stream, req, &answer)
	switch {
	case err == nil:
		return answer.Message, nil
	case apiCode(err) == codeMessageNotFound:
		return stored{}, fmt.Errorf("queue: %s: %w", what, queue.ErrNotFound)
	}
	return stored{}, apiError(what, err)
}

// ask repeats a request that changes nothing until it is answered: while a
// leader is elected nobody answers, or one who cannot say.
func (q *Queue) ask(ctx context.Context, subject string, req []byte, answer any) error {
	for try := 1; ; try++ {
		err := q.askOnce(ctx, subject, req, answer)
		if err == nil || apiCode(err) != 0 && !isUnavailable(err) || !q.pause(ctx, q.control, try) {
			return err
		}
	}
}

func (q *Queue) askOnce(ctx context.Context, subject string, req []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, min(time.Second, q.cfg.PublishTimeout))
	defer cancel()
	defer context.AfterFunc(q.control.alive(), cancel)()
	resp, err := q.control.nc.RequestWithContext(ctx, subject, req)
	if err != nil {
		return err
	}
	var failed struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(resp.Data, &failed); err != nil {
		return fmt.Errorf("answer to %s: %w", subject, err)
	}
	if failed.Error != nil {
		return failed.Error
	}
	return json.Unmarshal(resp.Data, answer)
}

// message leaves out the headers that the server and Publish added.
func message(h nats.Header, body []byte) *queue.Message {
	m := &queue.Message{Body: body}
	for k, v := range h {
		if len(v) == 0 {
			continue
		}
		if strings.HasPrefix(k, "Nats-") {
			if k == jetstream.MsgIDHeader {
				m.ID = v[0]
			}
			continue
		}
		if m.Header == nil {
			m.Header = make(map[string]string, len(h))
		}
		m.Header[k] = v[0]
	}
	return m
}

// origin is what the ack subject tells of a delivery.
type origin struct {
	stream       string
	attempt      int
	seq          uint64
	order        uint64 // of deliveries by the consumer, from 1
	storedAtNano int64
}

// parseOrigin reads $JS.ACK.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<ts>.<pending>
// or, from newer servers, $JS.ACK.<domain>.<account>.<stream>... with a token
// more (ADR-15).
func parseOrigin(reply string) (origin, error) {
	rest, ok := strings.CutPrefix(reply, "$JS.ACK.")
	n := strings.Count(rest, ".") + 1
	if !ok || n < 7 || n == 8 {
		return origin{}, fmt.Errorf("%q is not an ack subject", reply)
	}
	skip := 0
	if n > 7 {
		skip = 2
	}
	var o origin
	for i := -skip; i < 6; i++ {
		var token string
		token, rest, _ = strings.Cut(rest, ".")
		var num uint64
		if i >= 2 {
			var err error
			if num, err = strconv.ParseUint(token, 10, 64); err != nil {
				return origin{}, fmt.Errorf("%q is not an ack subject: %w", reply, err)
			}
		}
		switch i {
		case 0:
			o.stream = token
		case 2:
			o.attempt = int(num)
		case 3:
			o.seq = num
		case 4:
			o.order = num
		case 5:
			o.storedAtNano = int64(num)
		}
	}
	return o, nil
}
