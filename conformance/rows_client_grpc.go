package conformance

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
)

var grpcClientRows = []Row{
	{ID: "C1", Level: "SHOULD", Section: secFailures, needs: needBackendGRPC, run: rowC1,
		Rule: "A client sends again after CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE and DATA_LOSS."},
	{ID: "C2", Level: "SHOULD", Section: secFailures, needs: needBackendGRPC, run: rowC2,
		Rule: "After RESOURCE_EXHAUSTED a client sends again only if there is RetryInfo."},
	{ID: "C3", Level: "MUST NOT", Section: secFailures, needs: needBackendGRPC, run: rowC3,
		Rule: "After any other code a client does not send again, and drops the data."},
	{ID: "C4", Level: "MUST", Section: secThrottle, needs: needBackendGRPC, run: rowC4,
		Rule: "A client that is told to slow down does so, and waits at least the retry_delay of RetryInfo."},
	{ID: "C5", Level: "SHOULD", Section: secThrottle, needs: needBackendGRPC, run: rowC5,
		Rule: "Without RetryInfo the waits before sending again grow exponentially."},
	{ID: "C6", Level: "MUST NOT", Section: secSuccess, needs: needBackendGRPC, run: rowC6,
		Rule: "A client does not send again what was taken in part."},
	{ID: "C7", Level: "SHOULD", Section: "OTLP/gRPC: Concurrent Requests", needs: needBackendGRPC, run: rowC7,
		Rule: "A client makes several calls at a time, as many as configured."},
	{ID: "C8", Level: "SHOULD", Section: secSizes, needs: needBackendGRPC, run: rowC8,
		Rule: "A client limits its requests, before compression too, does not send what is larger, and records it."},
	{ID: "C9", Level: "MUST", Section: secSizes, needs: needBackendGRPC, run: rowC9,
		Rule: "A client limits the answers that it reads, and does not send again after one that is larger."},
	{ID: "C11", Level: "SHOULD", Section: secFailures, needs: needBackendGRPC, run: rowC11,
		Rule: "A client records what it could not deliver."},
	{ID: "D4", Level: "SHOULD", Section: "Protocol Details: multi-destination exporting", needs: needBackendGRPC | needBackendHTTP, run: rowD4,
		Rule: "With several destinations each has its own queue, answers and retries: one that fails delays no other."},
}

func rowC1(c *check) {
	for _, x := range codeAnswers(codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss) {
		c.try(x.name, func(ctx context.Context) Verdict { _, v := c.retried(ctx, c.backends.grpc, x.r, x.name); return v })
	}
	c.try("the connection ends without an answer, which gRPC calls UNAVAILABLE", func(ctx context.Context) Verdict {
		_, v := c.retried(ctx, c.backends.grpc, reply{drop: true}, "no answer")
		return v
	})
}

func rowC2(c *check) {
	c.try("with RetryInfo", func(ctx context.Context) Verdict {
		const sent = "RESOURCE_EXHAUSTED with RetryInfo of 1 s"
		w, v := c.retried(ctx, c.backends.grpc, reply{code: codes.ResourceExhausted, details: retryInfo(time.Second)}, sent)
		if v.Outcome != Pass {
			return v
		}
		return waited(w, 1, time.Second, sent)
	})
	c.answeredOnce(c.backends.grpc, codeAnswers(codes.ResourceExhausted))
}

func rowC3(c *check) {
	c.answeredOnce(c.backends.grpc, codeAnswers(codes.Unknown, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
		codes.FailedPrecondition, codes.Unimplemented, codes.Internal, codes.Unauthenticated))
}

func rowC4(c *check) {
	c.try("UNAVAILABLE with RetryInfo, twice", func(ctx context.Context) Verdict {
		sent := fmt.Sprintf("UNAVAILABLE with RetryInfo of %s, twice", throttleFor)
		w, err := c.through(ctx, c.backends.grpc, first(2, reply{code: codes.Unavailable, details: retryInfo(throttleFor)}))
		if err != nil {
			return failed(sent, "the request, and again", err.Error())
		}
		if !w.await(ctx, 3, c.Patience) {
			return failed(sent, "the request for the third time", fmt.Sprintf("%d arrivals within %s", w.count(), c.Patience))
		}
		return waited(w, 2, throttleFor, sent)
	})
}

func rowC5(c *check) {
	c.try("5 times UNAVAILABLE", func(ctx context.Context) Verdict {
		return c.backsOff(ctx, c.backends.grpc, reply{code: codes.Unavailable})
	})
	c.try("connections refused for a while", func(ctx context.Context) Verdict { return c.refusedForAWhile(ctx, c.backends.grpc) })
}

func rowC6(c *check) {
	c.answeredOnce(c.backends.grpc, []answer{
		{"1 rejected", reply{body: encode(c.signals[0].response(1, "one item is bad"))}},
		{"a warning", reply{body: encode(c.signals[0].response(0, "take care"))}},
	})
}

func rowC7(c *check) {
	c.try("two calls", func(ctx context.Context) Verdict { return c.together(ctx, c.backends.grpc) })
}

func rowC8(c *check) {
	c.try("an item over the limit", func(ctx context.Context) Verdict { return c.tooLargeToSend(ctx, c.backends.grpc) })
}

func rowC9(c *check) {
	c.answeredOnce(c.backends.grpc, []answer{{"OK of 5 MiB", c.largeAnswer()}})
}

func rowC11(c *check) {
	c.try("refused for good", func(ctx context.Context) Verdict {
		return c.counted(ctx, c.backends.grpc, reply{code: codes.InvalidArgument})
	})
}

func rowD4(c *check) {
	down := func(b *backend, other *backend, r reply, name string) {
		c.try(name, func(ctx context.Context) Verdict {
			sig, mark := c.signals[0], newMark()
			again := make(chan struct{})
			bad := b.expect(mark, func(int, *arrival) reply {
				select {
				case <-again:
					return reply{}
				default:
					return r
				}
			})
			defer func() {
				n := bad.count()
				close(again)
				bad.await(ctx, n+1, c.Patience) // the next rows find nothing of this one
			}()
			if _, err := c.throughAs(ctx, other, sig, mark, sig.request(mark), nil); err != nil {
				return failed(name, "arrival at the other", err.Error())
			}
			if _, err := c.through(ctx, other, nil); err != nil {
				return failed(name, "arrival of the next request at the other", err.Error())
			}
			return passed
		})
	}
	down(c.backends.http, c.backends.grpc, reply{status: 503}, "the HTTP backend answers 503")
	down(c.backends.grpc, c.backends.http, reply{code: codes.Unavailable}, "the gRPC backend answers UNAVAILABLE")
}
