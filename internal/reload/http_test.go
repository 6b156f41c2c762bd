package reload

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/internal/identity"
)

// ask makes the request that the route answers.
func ask(r *rig, ctx context.Context) (*httptest.ResponseRecorder, Answer) {
	r.t.Helper()
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/-/reload", nil))
	var a Answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		r.t.Fatal(err)
	}
	return w, a
}

func TestTheRouteAnswersWithWhatChanged(t *testing.T) {
	r := newRig(t, some)
	r.write(strings.ReplaceAll(some, "info", "debug"))
	who := identity.With(t.Context(), &identity.Identity{Subject: "cert:ops", Method: identity.MethodCertificate})
	w, a := ask(r, who)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || a.Outcome != Applied || a.Applied[0] != "log.level" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if e := r.events[0]; e.Subject != "cert:ops" || e.Method != identity.MethodCertificate || e.Listener != "admin" {
		t.Errorf("recorded %+v", e)
	}
	if !strings.Contains(w.Body.String(), `"restart_required":[]`) {
		t.Errorf("a list that is empty is not one: %s", w.Body)
	}
}

func TestTheRouteAnswersARefusalWithAProblem(t *testing.T) {
	r := newRig(t, some)
	r.write("log: {level: loud}\nx: 1\n")
	w, a := ask(r, t.Context())
	if w.Code != http.StatusUnprocessableEntity || w.Header().Get("Content-Type") != "application/problem+json" || a.Outcome != Refused || len(a.Problems) != 2 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	var p struct {
		Title, Detail string
		Status        int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != 422 || p.Title == "" || !strings.Contains(p.Detail, "penstock.yaml:1:14: log.level") {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestTheRouteAnswersThatNothingWasTried(t *testing.T) {
	r := newRig(t, some)
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	w, a := ask(r, t.Context())
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || a.Outcome != "" || !strings.Contains(w.Body.String(), "nothing is reloaded") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
