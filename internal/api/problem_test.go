package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/pkg/queue"
)

func TestErrorsBecomeAnswers(t *testing.T) {
	f := func(err error, status int) {
		t.Helper()
		var answered huma.StatusError
		if got := jobProblem(fmt.Errorf("stream X: %w", err)); !errors.As(got, &answered) || answered.GetStatus() != status || !strings.Contains(got.Error(), err.Error()) {
			t.Errorf("%v is %v, want %d", err, got, status)
		}
	}
	f(queue.ErrNotFound, 404)
	f(job.ErrNotFound, 404)
	f(job.ErrName, 422)
	f(job.CheckID("a/b"), 422)
	f(job.ErrExists, 409)
	f(job.ErrEnded, 409)
	f(queue.ErrConflict, 409)
	f(queue.ErrUnavailable, 503)
	f(queue.ErrClosed, 503)
	f(context.DeadlineExceeded, 503)
	f(queue.ErrFull, 507)
	f(errors.New("oh"), 500)
	if problem(nil) != nil {
		t.Error("nothing is an error")
	}
	already := huma.Error422UnprocessableEntity("no")
	if got := problem(already); !errors.Is(got, already) {
		t.Errorf("an answer becomes %v", got)
	}
}

// TestABrokenBody is a client that goes while it sends.
func TestABrokenBody(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/", errorReader{})
	within(shortPatience, func(http.ResponseWriter, *http.Request) { t.Error("it is asked") }).ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "gone") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = httptest.NewRecorder() // cannot set deadlines
	within(shortPatience, func(http.ResponseWriter, *http.Request) { t.Error("it is asked") }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	adapter{}.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/x", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("gone") }

func TestWhyAProcessIsNotReady(t *testing.T) {
	r := start(t, admin.Config{})
	r.port.AddCheck("fine", func(context.Context) error { return nil })
	r.port.AddCheck("queue", func(context.Context) error { return errors.New("no leader") })
	s := get[Status](r, "/status")
	if s.OK || !strings.Contains(strings.Join(s.Problems, "\n"), "this process is not ready: queue: no leader") {
		t.Errorf("problems are %q", s.Problems)
	}
	if got := notReady(admin.Status{Phase: "starting"}); got != "starting" {
		t.Errorf("says %q", got)
	}
}

// TestTheStoreIsAway asks for what lies in it.
func TestTheQueueIsAway(t *testing.T) {
	r := start(t, admin.Config{})
	if err := r.q.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/destinations", "/processes", "/ledger", "/dlq", "/dlq/summary", "/dlq/1", "/jobs", "/jobs/x"} {
		if why := r.refused(http.MethodGet, path, nil, http.StatusServiceUnavailable); !strings.Contains(why, "closed") {
			t.Errorf("%s says %s", path, why)
		}
	}
	r.refused(http.MethodPost, "/dlq/purge", PurgeRequest{Confirm: true}, http.StatusServiceUnavailable)
	r.refused(http.MethodPost, "/dlq/redrive", RedriveRequest{}, http.StatusServiceUnavailable)
	r.refused(http.MethodDelete, "/destinations/x", nil, http.StatusServiceUnavailable)
	s := get[Status](r, "/status")
	if s.OK || len(s.Problems) < 4 || s.Name != "test" {
		t.Errorf("the status is %+v", s)
	}
}
