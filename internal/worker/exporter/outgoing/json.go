package outgoing

import (
	"fmt"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker/exporter"
)

// JSONLine appends r as one line of OTLP JSON, nothing for a request without
// data. What the JSON mapping does not know, such as unknown fields, is not in
// it. b must be for no compression. The error is an *exporter.Error.
func (b *Bodies) JSONLine(dst []byte, r *exporter.Request) ([]byte, error) {
	body, err := b.Of(r)
	if err != nil {
		return dst, err
	}
	defer body.Release()
	if len(body.Data) == 0 {
		return dst, nil
	}
	out, err := otlp.AppendJSONFromProto(dst, r.Signal, body.Data)
	if err != nil {
		return dst, &exporter.Error{Kind: exporter.Permanent, Code: "undecodable",
			Err: fmt.Errorf("queued request %s of %d bytes: %w", r.ID, len(r.Body), err)}
	}
	return append(out, '\n'), nil
}
