package conformance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

var httpClientRows = []Row{
	{ID: "K1", Level: "SHOULD / MUST NOT", Section: "OTLP/HTTP: Retryable Response Codes", needs: needBackendHTTP, run: rowK1,
		Rule: "A client sends again after 429, 502, 503 and 504, and after no other 4xx or 5xx."},
	{ID: "K2", Level: "SHOULD", Section: "OTLP/HTTP: Throttling", needs: needBackendHTTP, run: rowK2,
		Rule: "A client waits as long as Retry-After says, in seconds or until a date; without it the waits grow exponentially."},
	{ID: "K3", Level: "SHOULD", Section: "OTLP/HTTP: All Other Responses", needs: needBackendHTTP, run: rowK3,
		Rule: "A client that is disconnected before an answer sends again."},
	{ID: "K4", Level: "SHOULD", Section: "OTLP/HTTP: Connection", needs: needBackendHTTP, run: rowK4,
		Rule: "A client that cannot connect tries again, with waits that grow and vary."},
	{ID: "K5", Level: "SHOULD", Section: "OTLP/HTTP: Connection, Concurrent Requests", needs: needBackendHTTP, run: rowK5,
		Rule: "A client keeps its connections, and makes several requests at a time, as many as configured."},
	{ID: "K6", Level: "SHOULD / MUST NOT", Section: secHTTPSizes, needs: needBackendHTTP, run: rowK6,
		Rule: "A client limits its bodies, before compression too, does not send what is larger, and records it."},
	{ID: "K7", Level: "MUST", Section: secHTTPSizes, needs: needBackendHTTP, run: rowK7,
		Rule: "A client limits the answers that it reads, and does not send again after one that is larger."},
	{ID: "K8", Level: "MUST", Section: secHTTPRequest, needs: needBackendHTTP, run: rowK8,
		Rule: "Requests have the Content-Type of what is in them, and Content-Encoding: gzip when they are gzip."},
	{ID: "K9", Level: "MUST NOT", Section: secHTTPResponse, needs: needBackendHTTP, run: rowK9,
		Rule: "A client does not send again what was taken in part."},
}

func rowK1(c *check) {
	for _, x := range answersOf(429, 502, 503, 504) {
		c.try(x.name, func(ctx context.Context) Verdict { _, v := c.retried(ctx, c.backends.http, x.r, x.name); return v })
	}
	c.answeredOnce(c.backends.http, answersOf(400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 425, 431, 500, 501, 505))
}

func rowK2(c *check) {
	for _, status := range []int{429, 503} {
		c.try(fmt.Sprintf("%d with Retry-After in seconds", status), func(ctx context.Context) Verdict {
			sent := fmt.Sprintf("%d with Retry-After: %d", status, throttleFor/time.Second)
			w, v := c.retried(ctx, c.backends.http, reply{status: status, header: http.Header{"Retry-After": {fmt.Sprint(int(throttleFor / time.Second))}}}, sent)
			if v.Outcome != Pass {
				return v
			}
			return waited(w, 1, throttleFor, sent)
		})
	}
	c.try("503 with Retry-After as a date", func(ctx context.Context) Verdict {
		var until atomic.Pointer[time.Time]
		w, err := c.through(ctx, c.backends.http, func(n int, a *arrival) reply {
			if n > 0 {
				return reply{}
			}
			date := a.at.Add(throttleFor + time.Second).Truncate(time.Second)
			until.Store(&date)
			return reply{status: 503, header: http.Header{"Retry-After": {date.UTC().Format(http.TimeFormat)}}}
		})
		const sent = "503 with Retry-After as a date"
		if err != nil {
			return failed(sent, "the request, and again", err.Error())
		}
		if !w.await(ctx, 2, c.Patience) {
			return failed(sent, "the request once more", fmt.Sprintf("nothing for %s", c.Patience))
		}
		if at, date := w.all()[1].at, until.Load(); at.Before(date.Add(-clockSlack)) {
			return failed(sent, "nothing before "+date.UTC().Format(http.TimeFormat), fmt.Sprintf("the request %s before that", date.Sub(at).Round(time.Millisecond)))
		}
		return passed
	})
	c.try("5 times 503 without Retry-After", func(ctx context.Context) Verdict {
		return c.backsOff(ctx, c.backends.http, reply{status: 503})
	})
}

func rowK3(c *check) {
	c.try("the connection ends without an answer", func(ctx context.Context) Verdict {
		_, v := c.retried(ctx, c.backends.http, reply{drop: true}, "no answer")
		return v
	})
}

func rowK4(c *check) {
	c.try("connections refused for a while", func(ctx context.Context) Verdict { return c.refusedForAWhile(ctx, c.backends.http) })
}

func rowK5(c *check) {
	c.try("10 requests one after the other", func(ctx context.Context) Verdict {
		peers := map[string]int{}
		for range 10 {
			w, err := c.through(ctx, c.backends.http, nil)
			if err != nil {
				return failed("10 requests", "their arrival", err.Error())
			}
			peers[w.all()[0].peer]++
		}
		if len(peers) == 10 {
			return failed("10 requests, one after the other", "connections that are used again", "10 connections")
		}
		return passed
	})
	c.try("two requests at a time", func(ctx context.Context) Verdict { return c.together(ctx, c.backends.http) })
}

func rowK6(c *check) {
	c.try("an item over the limit", func(ctx context.Context) Verdict { return c.tooLargeToSend(ctx, c.backends.http) })
}

func rowK7(c *check) {
	c.answeredOnce(c.backends.http, []answer{{"200 of 5 MiB", c.largeAnswer()}})
}

func rowK8(c *check) {
	c.each("path, method and headers", func(ctx context.Context, s signal) Verdict {
		mark := newMark()
		w, err := c.throughAs(ctx, c.backends.http, s, mark, s.request(mark), nil)
		if err != nil {
			return failed("one item", "its arrival", err.Error())
		}
		a := w.all()[0]
		if !strings.HasSuffix(a.method, s.path()) {
			return failed("one item", "a request to "+s.path(), a.method)
		}
		return passed
	})
	c.try("every request so far", func(context.Context) Verdict {
		for _, a := range c.backends.http.requests() {
			t := a.header.Get("Content-Type")
			if t != protobufType && t != jsonType || a.problem != "" {
				return failed("", "a body that is what its headers say, protobuf or JSON", fmt.Sprintf("Content-Type %q, Content-Encoding %q: %s", t, a.header.Get("Content-Encoding"), a.problem))
			}
		}
		return passed
	})
}

func rowK9(c *check) {
	c.answeredOnce(c.backends.http, []answer{
		{"1 rejected", reply{body: encode(c.signals[0].response(1, "one item is bad"))}},
		{"a warning", reply{body: encode(c.signals[0].response(0, "take care"))}},
	})
}

func readFull(r io.Reader, b []byte) (int, error) { return io.ReadFull(r, b) }
